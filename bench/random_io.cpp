// Random reads and writes of 4 KiB in a file, past the page cache where the file system lets them:
// random_io FILE COUNT. Prints nothing; fails with what went wrong.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace {

constexpr std::size_t kBlock = 4096;

int run(const char* path, long count) {
  int fd = ::open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
  if (fd < 0 && errno == EINVAL) fd = ::open(path, O_RDWR | O_CLOEXEC);
  struct stat status{};
  if (fd < 0 || ::fstat(fd, &status) != 0) return std::perror(path), 1;
  const auto blocks = static_cast<unsigned long>(status.st_size) / kBlock;
  void* buffer = std::aligned_alloc(kBlock, kBlock);
  std::minstd_rand random(1);
  for (long i = 0; i < count; ++i) {
    const auto at = static_cast<off_t>((random() % blocks) * kBlock);
    const bool reads = i % 4 != 0;
    const ssize_t n = reads ? ::pread(fd, buffer, kBlock, at) : ::pwrite(fd, buffer, kBlock, at);
    if (n != static_cast<ssize_t>(kBlock)) return std::perror(path), 1;
  }
  return ::fdatasync(fd) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return argc == 3 ? run(argv[1], std::atol(argv[2])) : 2;
}
