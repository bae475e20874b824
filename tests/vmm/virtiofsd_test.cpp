#include "vmm/virtiofsd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"
#include "vmm/machine_parts.h"

namespace agentvm::vmm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kPlaces[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"};

std::string installed() {
  for (const char* place : kPlaces) {
    if (::access(place, X_OK) == 0) return place;
  }
  return "";
}

TEST(VirtiofsdArgv, SpeaksTheCDialect) {
  const auto argv =
      virtiofsd_argv({"/usr/lib/qemu/virtiofsd", VirtiofsdDialect::c, "/run/agentvm/x/shared", 3});
  ASSERT_TRUE(argv);
  EXPECT_THAT(*argv,
              ElementsAre("/usr/lib/qemu/virtiofsd", "--fd=3", "-f", "--rlimit-nofile=0",
                          "--thread-pool-size=0", "-o", "source=/run/agentvm/x/shared", "-o",
                          "sandbox=namespace", "-o",
                          "cache=always,timeout=1,xattr,announce_submounts,no_writeback,no_flock,no_posix_lock",
                          "-o", "log_level=warn"));
}

TEST(VirtiofsdArgv, SpeaksTheRustDialect) {
  const auto argv =
      virtiofsd_argv({"/usr/libexec/virtiofsd", VirtiofsdDialect::rust, "/run/a,b", 3});
  ASSERT_TRUE(argv);
  EXPECT_THAT(*argv, ElementsAre("/usr/libexec/virtiofsd", "--fd=3", "--shared-dir", "/run/a,b",
                                 "--sandbox=namespace", "--seccomp=kill", "--cache=auto", "--xattr",
                                 "--announce-submounts", "--inode-file-handles=never",
                                 "--rlimit-nofile=0", "--thread-pool-size=0", "--log-level=warn"));
}

TEST(VirtiofsdArgv, RefusesADirectoryThatTheCDialectCannotName) {
  const auto argv = virtiofsd_argv({"/v", VirtiofsdDialect::c, "/run/a,b", 3});
  ASSERT_FALSE(argv);
  EXPECT_EQ(argv.error().kind, ErrorKind::invalid_argument);
  EXPECT_THAT(argv.error().text(), HasSubstr("'/run/a,b' cannot be shared"));
}

TEST(DetectVirtiofsd, TellsTheDialectsByTheirHelp) {
  const TempDir directory;
  const auto c = detect_virtiofsd(directory.write("c",
                                                  "\x7f"
                                                  "ELF    -o source=PATH   shared"));
  ASSERT_TRUE(c);
  EXPECT_EQ(*c, VirtiofsdDialect::c);
  const auto rust = detect_virtiofsd(
      directory.write("rust", "1.13.2virtiofsd --shared-dir <SHARED_DIR> --socket-path"));
  ASSERT_TRUE(rust);
  EXPECT_EQ(*rust, VirtiofsdDialect::rust);
}

TEST(DetectVirtiofsd, NamesAProgramThatIsNone) {
  const TempDir directory;
  for (const std::string& path : {directory.write("empty", ""), directory.write("other", "x"),
                                  directory.path(), directory / "nowhere"}) {
    const auto none = detect_virtiofsd(path);
    ASSERT_FALSE(none) << path;
    EXPECT_EQ(none.error().kind, ErrorKind::unavailable);
    EXPECT_THAT(none.error().text(), HasSubstr("'" + path + "' is no virtiofsd"));
  }
}

// A daemon with the connection that QEMU would have.
struct Daemon {
  TempDir directory;
  UniqueFd sockets;
  MachineConfig config;
  MachineWires wires;
  std::unique_ptr<Child> process;
};

void prepare(Daemon& daemon) {
  std::filesystem::create_directory(daemon.directory / "shared");
  daemon.config.virtiofsd = installed();
  daemon.config.shared_dir = daemon.directory / "shared";
  daemon.sockets = *sys::open_at(AT_FDCWD, daemon.directory.path(), O_PATH | O_DIRECTORY);
  daemon.config.socket_dir = daemon.sockets.get();
  auto wires = make_wires(daemon.config);
  ASSERT_TRUE(wires) << wires.error().text();
  daemon.wires = std::move(*wires);
}

void start(Daemon& daemon) {
  const auto spec = virtiofsd_part(daemon.config, daemon.wires);
  ASSERT_TRUE(spec) << spec.error().text();
  auto begun = JailStart::begin(*spec);
  ASSERT_TRUE(begun) << begun.error().text();
  asio::io_context io(1);
  auto child = run_to_end(io, std::move(*begun).finish());
  ASSERT_TRUE(child) << child.error().text();
  daemon.process = std::make_unique<Child>(std::move(*child));
  daemon.wires.errors_theirs.reset();
  daemon.wires.shared_listener.reset();
}

// VHOST_USER_GET_FEATURES: header {request, flags, size}, answered with 8 bytes.
bool answers(const Daemon& daemon) {
  constexpr std::array<std::uint32_t, 3> kGetFeatures{1, 1, 0};
  const int socket = daemon.wires.shared_qemu.get();
  if (::write(socket, kGetFeatures.data(), sizeof kGetFeatures) != sizeof kGetFeatures)
    return false;
  std::array<char, 20> reply{};
  std::size_t got = 0;
  while (got < reply.size()) {
    const ssize_t n = ::read(socket, reply.data() + got, reply.size() - got);
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return true;
}

TEST(Virtiofsd, ServesInItsJail) {
  if (installed().empty()) GTEST_SKIP() << "virtiofsd is not installed";
  Daemon daemon;
  ASSERT_NO_FATAL_FAILURE(prepare(daemon));
  ASSERT_NO_FATAL_FAILURE(start(daemon));
  const bool served = answers(daemon);
  if (!served) daemon.process.reset();
  EXPECT_TRUE(served) << *sys::read_all(daemon.wires.errors_ours.get(), 65536);
}

TEST(Virtiofsd, LeavesNoWorkerBehindWhenItsParentIsKilled) {
  if (installed().empty()) GTEST_SKIP() << "virtiofsd is not installed";
  auto [read_end, write_end] = *sys::pipe();
  Daemon daemon;
  ASSERT_NO_FATAL_FAILURE(prepare(daemon));
  const pid_t parent = ::fork();
  if (parent == 0) {
    start(daemon);
    // Once it answers its worker has been forked.
    if (daemon.process && answers(daemon)) (void)!::write(write_end.get(), "y", 1);
    for (;;) ::pause();
  }
  write_end.reset();
  // The rest of the wires belongs to the parent and to what it started.
  const UniqueFd errors = std::move(daemon.wires.errors_ours);
  daemon.wires = MachineWires{};
  char byte = 0;
  EXPECT_EQ(::read(read_end.get(), &byte, 1), 1);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  // Ends with the pipe: when nobody is left who could print.
  EXPECT_TRUE(sys::read_all(errors.get(), 65536));
}

}  // namespace
}  // namespace agentvm::vmm
