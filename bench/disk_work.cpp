// Work on files, past the page cache where the file system lets one. Fails with what went wrong.
//   disk_work random FILE COUNT     reads and writes of 4 KiB at random places (3 : 1), and a sync
//   disk_work rounds DIRECTORY N    N times: 128 MiB written and synced, 128 MiB read, 4000 of the
//                                   above; prints "work" and the microseconds of each
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kChunk = std::size_t{1} << 20;
constexpr int kChunks = 128;
constexpr long kRandom = 4000;

[[noreturn]] void die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

// A buffer that O_DIRECT takes, made once. No zeros, which would become holes.
char* chunk() {
  static char* const made = [] {
    char* buffer = static_cast<char*>(std::aligned_alloc(kBlock, kChunk));
    std::minstd_rand random(2);
    for (std::size_t at = 0; at < kChunk; at += sizeof(unsigned)) {
      const auto word = static_cast<unsigned>(random());
      std::memcpy(buffer + at, &word, sizeof word);
    }
    return buffer;
  }();
  return made;
}

class Work {
 public:
  Work(const std::string& path, int flags) : path_(path) {
    fd_ = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd_ < 0 && errno == EINVAL) fd_ = ::open(path.c_str(), (flags & ~O_DIRECT) | O_CLOEXEC);
    if (fd_ < 0) die(path);
  }
  ~Work() { ::close(fd_); }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  void write_all() {
    for (int i = 0; i < kChunks; ++i) expect(::write(fd_, buffer_, kChunk), kChunk);
    if (::fsync(fd_) != 0) die(path_);
  }
  void read_all() {
    for (int i = 0; i < kChunks; ++i) expect(::read(fd_, buffer_, kChunk), kChunk);
  }
  void random_blocks(long count) {
    struct stat status{};
    if (::fstat(fd_, &status) != 0) die(path_);
    const auto blocks = static_cast<unsigned long>(status.st_size) / kBlock;
    std::minstd_rand random(1);
    for (long i = 0; i < count; ++i) {
      const auto at = static_cast<off_t>((random() % blocks) * kBlock);
      const bool reads = i % 4 != 0;
      expect(reads ? ::pread(fd_, buffer_, kBlock, at) : ::pwrite(fd_, buffer_, kBlock, at),
             kBlock);
    }
    if (::fdatasync(fd_) != 0) die(path_);
  }

 private:
  void expect(ssize_t done, std::size_t wanted) const {
    if (done != static_cast<ssize_t>(wanted)) die(path_);
  }
  std::string path_;
  int fd_ = -1;
  char* buffer_ = chunk();
};

template <class Job>
long microseconds_of(Job job) {
  const auto begin = std::chrono::steady_clock::now();
  job();
  const auto took = std::chrono::steady_clock::now() - begin;
  return static_cast<long>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
}

void run_rounds(const std::string& directory, long rounds) {
  const std::string file = directory + "/read";
  Work(file, O_WRONLY | O_CREAT | O_TRUNC).write_all();
  for (long i = 0; i < rounds; ++i) {
    const long written = microseconds_of(
        [&] { Work(directory + "/write", O_WRONLY | O_CREAT | O_TRUNC).write_all(); });
    const long read = microseconds_of([&] { Work(file, O_RDONLY | O_DIRECT).read_all(); });
    const long random =
        microseconds_of([&] { Work(file, O_RDWR | O_DIRECT).random_blocks(kRandom); });
    std::printf("work %ld %ld %ld\n", written, read, random);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string what = argv[1];
  const long count = std::atol(argv[3]);
  if (what == "random") {
    Work(argv[2], O_RDWR | O_DIRECT).random_blocks(count);
  } else if (what == "rounds") {
    run_rounds(argv[2], count);
  } else {
    return 2;
  }
  return 0;
}
