// Bundles for tests: a busybox root file system and a config.json that a test edits as values.
#pragma once

#include <string>
#include <vector>

#include "oci/spec.h"

namespace agentvm::e2e {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class Bundle {
 public:
  // What `agentvm spec` writes, without the terminal, running `args`; root writable.
  explicit Bundle(std::vector<std::string> args);

  [[nodiscard]] const std::string& path() const { return directory_.path(); }
  [[nodiscard]] std::string rootfs() const { return path() + "/rootfs"; }

  // Change it, then store() (Container does).
  oci::Spec spec;
  void store() const;
  // Instead of `spec`: this very text.
  void store_text(const std::string& text) const;

  // A file in the root file system.
  void add_file(const std::string& path, const std::string& content, int mode = 0644) const;
  // `sh -c script`
  static std::vector<std::string> shell(const std::string& script);

 private:
  TemporaryDirectory directory_;
};

[[nodiscard]] std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& content, int mode = 0644);

}  // namespace agentvm::e2e
