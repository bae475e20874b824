// The agentvm command as a test uses it: its own --root, the build tree's binaries and image (or
// the image in the directory AGENTVM_TEST_IMAGE), and a census around every test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness/bundle.h"
#include "tests/e2e/harness/census.h"
#include "tests/e2e/harness/command.h"

namespace agentvm::e2e {

// Steps of `run --timings` that only a VM takes that was restored; that waited in the pool.
inline constexpr const char* kRestored = "template's state loaded";
inline constexpr const char* kClaimed = "a VM of the pool claimed";

// A pid that no process has: above the kernel's PID_MAX_LIMIT.
inline constexpr pid_t kNobody = 1 << 30;

class Agentvm : public testing::Test {
 protected:
  void SetUp() override;
  // Deletes the containers that the test left and fails it when anything else remains.
  void TearDown() override;

  // `agentvm --root … --config … <arguments>`.
  [[nodiscard]] std::vector<std::string> command(const std::vector<std::string>& arguments) const;
  Outcome agentvm(const std::vector<std::string>& arguments,
                  const CommandOptions& options = {}) const;
  // `agentvm run` of a bundle, which is stored first.
  Outcome run(const Bundle& bundle, const CommandOptions& options = {}) const;
  // The same with --timings, whose steps are on its standard error.
  Outcome run_timed(const Bundle& bundle, const std::string& id = "web") const;
  // create (and start) under the name `id`; the test fails when they do.
  void create(const std::string& id, const Bundle& bundle) const;
  void start(const std::string& id) const;
  [[nodiscard]] std::string status(const std::string& id) const;
  // The stand-in's pid as `state` tells it; of a container that has none, kNobody.
  [[nodiscard]] pid_t stand_in(const std::string& id) const;
  // Of a process of the host, as the kernel writes it, with a newline.
  [[nodiscard]] static std::string oom_score_of(pid_t pid) {
    return read_file("/proc/" + std::to_string(pid) + "/oom_score_adj");
  }
  void wait_for_status(const std::string& id, const std::string& wanted) const;
  // Host processes of a container's VM by the start of their name: "qemu-system".
  [[nodiscard]] std::vector<pid_t> processes_of(const std::string& id,
                                                const std::string& name) const;

  struct PoolVm {
    std::string id;
    std::string status;     // "waits", "taken", …
    std::string container;  // the state directory of who has it
    pid_t holder = 0;
  };
  // As `pool ls` tells them.
  [[nodiscard]] std::vector<PoolVm> pool_vms() const;
  [[nodiscard]] bool pool_is_being_filled() const;
  // Once nobody fills it any more; nothing may be left in it.
  void drain_pool() const;

  [[nodiscard]] std::string root() const { return scratch_->path() + "/root"; }
  [[nodiscard]] const std::string& scratch() const { return scratch_->path(); }
  // What `uname -r` says in the guest.
  [[nodiscard]] static std::string guest_kernel_release();
  // The build tree's containerd-shim-agentvm-v2.
  [[nodiscard]] static std::string shim_binary();
  // The configuration file that every command gets: with `vm` appended to its table of that name,
  // and with `templates` as that table instead of the tests' own store.
  // `kernel`: another than the image's. `pool_vms`: how many wait; none, unless AGENTVM_TEST_POOL
  // is "on".
  void configure(const std::string& vm, const std::string& templates = "",
                 const std::string& kernel = "", int pool_vms = -1) const;
  [[nodiscard]] std::string pool() const { return scratch() + "/pool"; }
  // Of containers whose root is no overlay, and what they are copied from.
  [[nodiscard]] std::string disks() const { return scratch() + "/disks"; }
  // Agent sandboxes; their secrets and sockets are in the same with "-run".
  [[nodiscard]] std::string sandboxes() const { return scratch() + "/sandboxes"; }
  // The template store of all tests.
  [[nodiscard]] static std::string shared_store();
  // A file of the guest's image: "vmlinux".
  [[nodiscard]] static std::string image_file(const std::string& name);

 private:
  std::unique_ptr<TemporaryDirectory> scratch_;
  Census before_;
};

}  // namespace agentvm::e2e
