#include "guest-agent/practice.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "oci/base/sys.h"
#include "rpc/guest_contract.h"

namespace agentvm::guest {

namespace {

constexpr std::size_t kPage = 4096;

bool read_data() {
  const auto file = sys::open_at(AT_FDCWD, std::string("/") + rpc::kPracticeData, O_RDONLY);
  struct stat status{};
  if (!file || ::fstat(file->get(), &status) != 0 || status.st_size == 0) return false;
  const auto size = static_cast<std::size_t>(status.st_size);
  std::array<char, kPage> buffer{};
  if (::read(file->get(), buffer.data(), buffer.size()) <= 0) return false;
  void* map = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file->get(), 0);
  if (map == MAP_FAILED) return false;
  for (std::size_t at = 0; at < size; at += kPage) static_cast<volatile char*>(map)[at] = 'y';
  return ::munmap(map, size) == 0;
}

bool list_directories() {
  for (const char* path : {"/", "/proc/self/fd", "/dev"}) {
    DIR* directory = ::opendir(path);
    if (directory == nullptr) return false;
    while (::readdir(directory) != nullptr) {
    }
    (void)::closedir(directory);
  }
  return true;
}

// Which says how it is to be used, and fails: its words go into the pipe.
bool start_once_more(const char* self) {
  auto ends = sys::pipe();
  if (!ends) return false;
  const pid_t child = ::fork();
  if (child == 0) {
    (void)::dup2(ends->second.get(), STDERR_FILENO);
    (void)::execl(self, self, "--help", nullptr);
    ::_exit(1);
  }
  ends->second.reset();
  std::array<char, kPage> words{};
  const bool said = child > 0 && ::read(ends->first.get(), words.data(), words.size()) > 0;
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && said;
}

}  // namespace

int practise(const char* self) {
  const bool done = read_data() && list_directories() && start_once_more(self) &&
                    sys::write_all(STDOUT_FILENO, "out\n") &&
                    sys::write_all(STDERR_FILENO, "err\n");
  return done ? 0 : 1;
}

}  // namespace agentvm::guest
