// The runtime's --root of a namespace, which goes with the last container in it. Each process that
// works with it holds it; one that ends removes it when nobody else does.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::shim {

class HeldStateRoot {
 public:
  // Makes it when it is missing.
  [[nodiscard]] static Result<HeldStateRoot> hold(std::string path);
  HeldStateRoot(HeldStateRoot&&) noexcept = default;
  HeldStateRoot& operator=(HeldStateRoot&&) noexcept = default;

  [[nodiscard]] const std::string& path() const { return path_; }
  // Lets go of it, and removes it if it is empty and nobody else holds it.
  void release();

 private:
  HeldStateRoot(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;  // the directory itself, flock(2) shared
};

}  // namespace agentvm::shim
