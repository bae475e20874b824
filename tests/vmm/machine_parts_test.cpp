#include "vmm/machine_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"

namespace agentvm::vmm {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;

class Parts : public ::testing::Test {
 protected:
  Parts() {
    std::filesystem::create_directory(directory_ / "run");
    socket_dir_ = *sys::open_at(AT_FDCWD, directory_ / "run", O_PATH | O_DIRECTORY);
    config_.qemu = "/usr/bin/env";
    config_.virtiofsd = directory_.write("virtiofsd", "  -o source=PATH  ", 0755);
    config_.vsock_backend = directory_.write("agentvm-vsock", "static", 0755);
    config_.kernel = directory_.write("vmlinux", "k");
    config_.initramfs = directory_.write("initramfs", "i");
    config_.shared_dir = directory_.path();
    config_.socket_dir = socket_dir_.get();
    wires_ = *make_wires(config_);
  }

  TempDir directory_;
  UniqueFd socket_dir_;
  MachineConfig config_;
  MachineWires wires_;
};

TEST_F(Parts, LeaveOnlyTheVsockSocketInTheDirectory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "run")) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, ElementsAre("vsock.sock"));
}

TEST_F(Parts, ConnectQemuToTheSocketThatVirtiofsdAccepts) {
  const UniqueFd accepted(::accept4(wires_.shared_listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  ASSERT_EQ(::write(wires_.shared_qemu.get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(::read(accepted.get(), &byte, 1), 1);
}

TEST_F(Parts, ConfineQemuToItsFiles) {
  const auto spec = qemu_part(config_, wires_, 1000);
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_EQ(spec->namespaces, all_namespaces());
  EXPECT_EQ(spec->filter, SyscallFilter::unprivileged);
  EXPECT_EQ(spec->user, (JailUser{qemu_uid(1000), qemu_uid(1000), {}, 0}));
  EXPECT_EQ(spec->fds.size(), 7U);
  EXPECT_THAT(*spec->root, Contains(Field(&JailEntry::path, "guest/kernel")));
  EXPECT_THAT(*spec->root, Contains(Field(&JailEntry::source, config_.initramfs)));
  for (const JailEntry& entry : *spec->root) EXPECT_FALSE(entry.writable) << entry.path;
  EXPECT_THAT(spec->argv, Contains("/guest/kernel"));
  EXPECT_THAT(spec->limits, Contains(JailLimit{RLIMIT_CORE, 0}));
}

TEST_F(Parts, GiveEachJailedPartAnotherUid) {
  EXPECT_NE(qemu_uid(1000), vsock_uid(1000));
  const auto vsock = vsock_part(config_, wires_, 1000);
  ASSERT_TRUE(vsock) << vsock.error().text();
  EXPECT_EQ(vsock->user->uid, vsock_uid(1000));
}

TEST_F(Parts, GiveAStaticBackendAnEmptyRoot) {
  const auto spec = vsock_part(config_, wires_, 1000);
  ASSERT_TRUE(spec) << spec.error().text();
  ASSERT_EQ(spec->root->size(), 2U);
  EXPECT_EQ(spec->root->at(0).path, "agentvm-vsock");
  EXPECT_EQ(spec->root->at(1).path, "sockets");
  EXPECT_THAT(spec->argv, ElementsAre("/agentvm-vsock", "--vhost-user-fd", "3", "--listen-fd", "4",
                                      "--socket-dir-fd", "5", "--guest-cid", "3"));
  EXPECT_EQ(spec->fds.at(5), (JailFd{-1, "/sockets"}));
}

TEST_F(Parts, KeepVirtiofsdInAPidNamespaceEvenUnconfined) {
  config_.jail = false;
  const auto spec = virtiofsd_part(config_, wires_);
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_NE(spec->namespaces & CLONE_NEWPID, 0U);
  EXPECT_FALSE(spec->user);
  const auto qemu = qemu_part(config_, wires_, 1000);
  ASSERT_TRUE(qemu) << qemu.error().text();
  EXPECT_EQ(qemu->namespaces, 0U);
  EXPECT_THAT(qemu->argv, Contains(config_.kernel));
}

TEST_F(Parts, RefuseAKernelThatOnlyRootReads) {
  ::chmod(config_.kernel.c_str(), 0600);
  const auto spec = qemu_part(config_, wires_, 1000);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().text(), "jail QEMU: the guest kernel '" + config_.kernel +
                                     "' must be readable by everybody (chmod a+r): QEMU runs "
                                     "under a uid of its own");
}

TEST_F(Parts, LetQemuReachKvmThroughItsGroup) {
  config_.accelerator = Accelerator::kvm;
  config_.kvm_device = directory_ / "kvm";
  ASSERT_EQ(::mknod(config_.kvm_device.c_str(), S_IFCHR | 0660, 0x103), 0);
  ::chmod(config_.kvm_device.c_str(), 0660);
  ASSERT_EQ(::chown(config_.kvm_device.c_str(), 0, 4711), 0);
  const auto spec = qemu_part(config_, wires_, 1000);
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_THAT(spec->user->groups, ElementsAre(4711));
  EXPECT_EQ(spec->root->back().path, "dev/kvm");
  EXPECT_TRUE(spec->root->back().devices);

  ::chmod(config_.kvm_device.c_str(), 0600);
  const auto refused = qemu_part(config_, wires_, 1000);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("is for root alone, and QEMU runs under a uid"));
}

TEST_F(Parts, LendTheSocketDirectoryToOneUidAlone) {
  const UniqueFd listener = *sys::listen_unix_at(socket_dir_.get(), "vsock.sock_1024", 0600);
  (void)directory_.write("run/state.json", "{}", 0600);
  ::chmod((directory_ / "run").c_str(), 0700);
  const auto lent = lend_socket_dir(socket_dir_.get(), 4711);
  ASSERT_TRUE(lent) << lent.error().text();
  const auto status = [&](const char* name) {
    struct stat s{};
    EXPECT_EQ(::stat((directory_ / name).c_str(), &s), 0);
    return s;
  };
  EXPECT_EQ(status("run").st_mode & 07777, 0710U);
  EXPECT_EQ(status("run").st_uid, 0U);
  EXPECT_EQ(status("run").st_gid, 4711U);
  EXPECT_EQ(status("run/vsock.sock_1024").st_uid, 4711U);
  EXPECT_EQ(status("run/vsock.sock").st_uid, 0U);
  EXPECT_EQ(status("run/state.json").st_uid, 0U);
}

}  // namespace
}  // namespace agentvm::vmm
