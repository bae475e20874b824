#include "tests/vmm/vsock/backend_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

namespace agentvm::vmm::vsock::testing {

namespace {

constexpr int kPatienceMs = 10000;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

UniqueFd listen_at(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(path);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(fd.get(), 1024), 0);
  return fd;
}

UniqueFd connect_to(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(path);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

void await(int fd, short events) {
  pollfd state{.fd = fd, .events = events, .revents = 0};
  ASSERT_EQ(::poll(&state, 1, kPatienceMs), 1) << "nothing happened on a socket";
}

}  // namespace

BackendProcess::BackendProcess(QemuEnd qemu_end) {
  std::string name = (std::filesystem::temp_directory_path() / "agentvm-vsock-XXXXXX").string();
  dir_ = ::mkdtemp(name.data());
  const UniqueFd listener = listen_at(dir_ + "/vsock.sock");
  const UniqueFd directory(::open(dir_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd theirs;
  if (qemu_end == QemuEnd::connected) {
    std::array<int, 2> pair{-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    vhost_user_.reset(pair[0]);
    theirs.reset(pair[1]);
  } else {
    theirs = listen_at(dir_ + "/vhost-user.sock");
  }
  errors_.reset(::memfd_create("stderr", MFD_CLOEXEC));

  const std::string qemu_flag =
      qemu_end == QemuEnd::connected ? "--vhost-user-fd" : "--vhost-user-listen-fd";
  std::vector<std::string> words{VSOCK_BINARY,
                                 qemu_flag,
                                 std::to_string(theirs.get()),
                                 "--listen-fd",
                                 std::to_string(listener.get()),
                                 "--socket-dir-fd",
                                 std::to_string(directory.get()),
                                 "--guest-cid",
                                 "3"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    for (const int fd : {theirs.get(), listener.get(), directory.get()}) {
      ::fcntl(fd, F_SETFD, 0);
    }
    ::dup2(errors_.get(), STDERR_FILENO);
    ::execv(VSOCK_BINARY, argv.data());
    ::_exit(127);
  }
  EXPECT_GT(pid_, 0);
  if (qemu_end == QemuEnd::listening) vhost_user_ = connect_to(dir_ + "/vhost-user.sock");
}

BackendProcess::~BackendProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

UniqueFd BackendProcess::connect_client() const {
  return connect_to(dir_ + "/vsock.sock");
}

UniqueFd BackendProcess::connect_client(std::uint32_t port) const {
  UniqueFd client = connect_client();
  write_all(client.get(), fmt::format("CONNECT {}\n", port));
  return client;
}

UniqueFd BackendProcess::listen_as_service(std::uint32_t port) const {
  return listen_at(fmt::format("{}/vsock.sock_{}", dir_, port));
}

int BackendProcess::wait_exit() {
  int status = 0;
  EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string BackendProcess::errors() const {
  std::string text(64U << 10, '\0');
  const ssize_t count = ::pread(errors_.get(), text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return text;
}

std::string BackendProcess::status(const std::string& name) const {
  std::ifstream file(fmt::format("/proc/{}/status", pid_));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name + ":")) continue;
    const auto value = line.find_first_not_of(" \t", name.size() + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return {};
}

std::size_t BackendProcess::open_files() const {
  const std::filesystem::directory_iterator entries(fmt::format("/proc/{}/fd", pid_));
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

bool BackendProcess::await_open_files(std::size_t count) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (open_files() != count) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void write_all(int fd, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    ASSERT_GT(count, 0) << std::strerror(errno);
    done += static_cast<std::size_t>(count);
  }
}

std::string read_up_to(int fd, std::size_t count) {
  std::string bytes(count, '\0');
  std::size_t done = 0;
  while (done < count) {
    await(fd, POLLIN);
    const ssize_t got = ::read(fd, bytes.data() + done, count - done);
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

std::string read_line(int fd) {
  std::string line;
  while (!line.ends_with('\n')) {
    const std::string one = read_up_to(fd, 1);
    if (one.empty()) break;
    line += one;
  }
  return line;
}

bool at_end(int fd) {
  await(fd, POLLIN);
  char byte = 0;
  return ::read(fd, &byte, 1) <= 0;
}

}  // namespace agentvm::vmm::vsock::testing
