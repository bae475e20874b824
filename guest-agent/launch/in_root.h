// Places in a container's root that are to be mounted on or created: made where they are missing,
// found as the container would find them. Every step is resolved by openat2(RESOLVE_IN_ROOT), so
// neither '..' nor a symlink of the image, nor one that is swapped in meanwhile (CVE-2021-30465),
// leads out of the root.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

enum class PlaceKind { directory, file };

struct Place {
  UniqueFd fd;           // O_PATH
  bool existed = false;  // it was there, nothing was made
};

// Opens `path`, making what is missing as runc does: directories with 0755 and, for a file, an
// empty one. Symlinks are followed inside the root, also ones whose target is yet to be made.
[[nodiscard]] Result<Place> make_place(int root_fd, std::string_view path, PlaceKind kind);

// The directory that `path` is to be made in, made itself when missing, and the name to make.
struct NewName {
  UniqueFd parent;  // O_PATH
  std::string name;
};
[[nodiscard]] Result<NewName> make_parent(int root_fd, std::string_view path);

// `path` absolute and without '.', '..' and doubled slashes, by its letters alone.
[[nodiscard]] std::string clean_path(std::string_view path);

}  // namespace agentvm::guest
