// The image of a container's disk: a sparse raw ext4 file.
#pragma once

#include <cstdint>
#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "runtime/disks/place.h"

namespace agentvm::runtime {

// In a layer's or volume's directory.
inline constexpr const char* kDiskFile = "agentvm-disk.img";

struct DiskImage {
  // Open for reading and writing, locked: whoever has a duplicate of it has the disk alone.
  UniqueFd fd;
  std::string path;
  std::uint64_t size_mib = 0;
};

// Opens the image of that place, or makes one of `size_mib` from the template of that size in
// `templates`, which is made when it is missing. One that is there keeps its size.
// failed_precondition when another container has it, or when it is not a file that root alone may
// read and write: what lies in a volume may have been put there by a guest.
[[nodiscard]] Result<DiskImage> open_disk(const DiskPlace& place, std::uint64_t size_mib,
                                          const std::string& templates);

// What the image takes on the host, in MiB, rounded up.
[[nodiscard]] Result<std::uint64_t> used_mib(const std::string& path);

}  // namespace agentvm::runtime
