// Whole machines, as the runtime starts them.
#include "vmm/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "oci/base/sys.h"
#include "rpc/ports.h"
#include "tests/temp_dir.h"
#include "tests/vmm/initramfs.h"
#include "tests/vmm/processes.h"
#include "vmm/machine_parts.h"

namespace agentvm::vmm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr seconds kLong{100};

std::string first_of(std::initializer_list<const char*> places) {
  for (const char* place : places) {
    if (place != nullptr && ::access(place, R_OK) == 0) return place;
  }
  return "";
}

class MachineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(directory_ / "run");
    std::filesystem::create_directory(directory_ / "shared");
    socket_dir_ = *sys::open_at(AT_FDCWD, directory_ / "run", O_PATH | O_DIRECTORY);
    config_.qemu = first_of({"/usr/bin/qemu-system-x86_64"});
    config_.virtiofsd = first_of({"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"});
    config_.vsock_backend = VSOCK_BACKEND;
    config_.kernel = first_of({AGENTVM_IMAGE "/vmlinux", ::getenv("AGENTVM_TEST_KERNEL")});
    if (config_.qemu.empty() || config_.virtiofsd.empty()) {
      GTEST_SKIP() << "QEMU or virtiofsd is not installed";
    }
    if (config_.kernel.empty()) {
      GTEST_SKIP() << "there is no " AGENTVM_IMAGE
                      "/vmlinux (target image), and no "
                      "AGENTVM_TEST_KERNEL in the environment";
    }
    config_.initramfs = directory_.write("initramfs", make_initramfs(MACHINE_INIT));
    config_.tsc_khz = host_tsc_khz();
    config_.shared_dir = directory_ / "shared";
    config_.socket_dir = socket_dir_.get();
    // Another uid has to get to the files.
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  }

  void guest_does(const std::string& what) { config_.kernel_parameters = "-- " + what; }

  std::unique_ptr<Machine> create() {
    auto machine = run_to_end(io_, Machine::create(config_));
    io_.restart();
    EXPECT_TRUE(machine) << (machine ? "" : machine.error().text());
    return machine ? std::move(*machine) : nullptr;
  }

  template <class T>
  T await(Task<T> task) {
    auto result = run_to_end(io_, std::move(task));
    io_.restart();
    EXPECT_TRUE(result) << (result ? "" : result.error().text());
    if constexpr (!std::is_void_v<T>) return result ? std::move(*result) : T{};
  }

  // Everything that a machine of this test may leave behind.
  void expect_nothing_left() {
    EXPECT_THAT(processes_with(directory_.path()), IsEmpty());
    EXPECT_FALSE(std::filesystem::exists(directory_ / "run/vsock.sock"));
  }

  TempDir directory_;
  UniqueFd socket_dir_;
  MachineConfig config_;
  asio::io_context io_{1};
};

TEST_F(MachineTest, BootsAndTellsItsEnd) {
  guest_does("off");
  auto machine = create();
  ASSERT_TRUE(machine);
  EXPECT_EQ(machine->pids().size(), 3U);
  EXPECT_LE(machine->timings().backends_ready_us, machine->timings().qemu_ready_us);
  RecordProperty("backends_ready_us", static_cast<int>(machine->timings().backends_ready_us));
  RecordProperty("qemu_ready_us", static_cast<int>(machine->timings().qemu_ready_us));
  (void)await(machine->wait_end());
  await(machine->stop(kLong));
  EXPECT_THAT(machine->console_tail(), HasSubstr("init runs: off"));
  machine.reset();
  expect_nothing_left();
}

TEST_F(MachineTest, EndsWhenTheGuestPanics) {
  guest_does("panic");
  auto machine = create();
  ASSERT_TRUE(machine);
  (void)await(machine->wait_end());
  await(machine->stop(kLong));
  EXPECT_THAT(machine->console_tail(), HasSubstr("Attempted to kill init"));
  machine.reset();
  expect_nothing_left();
}

TEST_F(MachineTest, StopsAGuestThatDoesNotListen) {
  guest_does("stay");
  auto machine = create();
  ASSERT_TRUE(machine);
  const std::vector<pid_t> pids = machine->pids();
  await(machine->stop(kLong));
  for (const pid_t pid : pids) EXPECT_EQ(::kill(pid, 0), -1) << "not reaped";
  const MachineEnd end = await(machine->wait_end());
  EXPECT_EQ(end.part, "qemu");
  EXPECT_EQ(end.wait_status, 0);
  await(machine->stop(kLong));
  machine.reset();
  expect_nothing_left();
}

TEST_F(MachineTest, RunsEachPartUnderTheUidOfItsJail) {
  guest_does("stay");
  auto machine = create();
  ASSERT_TRUE(machine);
  const auto pids = machine->pids();
  const auto uid_of = [](pid_t pid) {
    struct stat status{};
    EXPECT_EQ(::stat(("/proc/" + std::to_string(pid)).c_str(), &status), 0);
    return status.st_uid;
  };
  EXPECT_EQ(uid_of(pids.at(0)), qemu_uid(::getpid()));
  EXPECT_EQ(uid_of(pids.at(1)), 0U);
  EXPECT_EQ(uid_of(pids.at(2)), vsock_uid(::getpid()));
  for (const pid_t pid : pids) {
    for (const char* kind : {"net", "pid", "mnt", "ipc", "uts"}) {
      const std::string ns = std::string("/ns/") + kind;
      EXPECT_NE(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + ns),
                std::filesystem::read_symlink("/proc/self" + ns));
    }
  }
}

TEST_F(MachineTest, AnswersOnTheVsockSocket) {
  guest_does("stay");
  auto machine = create();
  ASSERT_TRUE(machine);
  const auto client = sys::connect_unix_at(socket_dir_.get(), "vsock.sock");
  EXPECT_TRUE(client) << client.error().text();
}

// Whichever part is killed: the machine tells, and destruction takes the others.
class KilledPart : public MachineTest, public ::testing::WithParamInterface<std::size_t> {};

TEST_P(KilledPart, EndsTheMachineAndLeavesNothing) {
  guest_does("stay");
  auto machine = create();
  ASSERT_TRUE(machine);
  constexpr const char* kNames[] = {"qemu", "virtiofsd", "vsock backend"};
  ASSERT_EQ(::kill(machine->pids().at(GetParam()), SIGKILL), 0);
  const MachineEnd end = await(machine->wait_end());
  EXPECT_EQ(end.part, kNames[GetParam()]);
  EXPECT_EQ(end.wait_status, SIGKILL);
  machine.reset();
  expect_nothing_left();
}

INSTANTIATE_TEST_SUITE_P(MachineTest, KilledPart, ::testing::Values(0U, 1U, 2U));

// Waits for the end of a process that is not our child.
void await_gone(int pidfd) {
  pollfd watched{pidfd, POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, 60'000), 1);
}

TEST_F(MachineTest, DiesWithItsMonitor) {
  guest_does("stay");
  auto [read_end, write_end] = *sys::pipe();
  const pid_t monitor = ::fork();
  if (monitor == 0) {
    auto machine = create();
    (void)!::write(write_end.get(), machine ? "y" : "n", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(read_end.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  // By their command lines: the worker of virtiofsd is not among pids().
  std::vector<UniqueFd> watched;
  std::vector<pid_t> parts = processes_with(directory_.path());
  for (const pid_t child : children_of(monitor)) parts.push_back(child);
  EXPECT_GE(parts.size(), 4U);
  for (const pid_t pid : parts) watched.push_back(*sys::pidfd_open(pid));
  ::kill(monitor, SIGKILL);
  ::waitpid(monitor, nullptr, 0);
  for (const UniqueFd& process : watched) await_gone(process.get());
  EXPECT_THAT(processes_with(directory_.path()), IsEmpty());
}

TEST_F(MachineTest, SaysWhatQemuSaidWhenItDoesNotStart) {
  config_.kernel = directory_.write("no-kernel", "this is no kernel");
  auto machine = run_to_end(io_, Machine::create(config_));
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().kind, ErrorKind::unavailable);
  EXPECT_THAT(
      machine.error().text(),
      HasSubstr("start QEMU: negotiate with QEMU: QEMU's control socket was closed by QEMU; "
                "qemu exited with status 1"));
  EXPECT_THAT(machine.error().text(), HasSubstr("last words: "));
  expect_nothing_left();
}

TEST_F(MachineTest, SaysWhichProgramCannotBeExecuted) {
  config_.vsock_backend = "/usr/bin/no-such-backend";
  auto machine = run_to_end(io_, Machine::create(config_));
  ASSERT_FALSE(machine);
  EXPECT_THAT(machine.error().text(), HasSubstr("no-such-backend"));
  expect_nothing_left();
}

TEST_F(MachineTest, StartsUnconfinedWhereThatIsAskedFor) {
  config_.jail = false;
  guest_does("stay");
  auto machine = create();
  ASSERT_TRUE(machine);
  await(machine->stop(kLong));
  machine.reset();
  expect_nothing_left();
}

TEST_F(MachineTest, LetsTheGuestsAgentDialIn) {
  config_.initramfs = AGENTVM_IMAGE "/initramfs.cpio";
  if (::access(config_.initramfs.c_str(), R_OK) != 0) {
    GTEST_SKIP() << "there is no " << config_.initramfs << " (target image)";
  }
  const std::string name = "vsock.sock_" + std::to_string(rpc::kAgentPort);
  const UniqueFd listener = *sys::listen_unix_at(socket_dir_.get(), name, 0600);
  auto machine = create();
  ASSERT_TRUE(machine);
  pollfd watched{listener.get(), POLLIN, 0};
  // The backend is a process of its own: no event loop is needed for this.
  EXPECT_EQ(::poll(&watched, 1, 60'000), 1) << machine->console_tail();
}

}  // namespace
}  // namespace agentvm::vmm
