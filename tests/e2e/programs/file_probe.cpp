// What a container does to files that busybox has no command for: one action, what came of it in a
// word or two on standard output. Static, so that any root file system can hold it.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

namespace {

int say(const char* what) {
  std::puts(what);
  return 0;
}

int say_error() {
  std::puts(::strerrorname_np(errno));
  return 1;
}

// A lock of records or of the whole file, held until standard input ends.
int hold_lock(const char* path, bool whole) {
  const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const bool locked =
      fd >= 0 && (whole ? ::flock(fd, LOCK_EX | LOCK_NB) : ::fcntl(fd, F_SETLK, &lock)) == 0;
  if (!locked) return say_error();
  say("locked");
  std::fflush(stdout);
  std::array<char, 64> ignored;
  while (::read(0, ignored.data(), ignored.size()) > 0) {
  }
  return 0;
}

// Writes through a shared mapping.
int map(const char* path) {
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return say_error();
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return say_error();
  std::memcpy(memory, "mapped", 6);
  if (::msync(memory, 4096, MS_SYNC) != 0) return say_error();
  return say("mapped");
}

int set_attribute(const char* path, const char* name) {
  std::array<char, 16> value{};
  if (::setxattr(path, name, "value", 5, 0) != 0) return say_error();
  if (::getxattr(path, name, value.data(), value.size()) != 5) return say_error();
  return say(value.data());
}

// A file without a name, then with one.
int make_unnamed(const std::string& directory) {
  const int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
  if (fd < 0) return say_error();
  if (::write(fd, "named", 5) != 5) return say_error();
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const std::string name = directory + "/named";
  if (::linkat(AT_FDCWD, path.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return say_error();
  }
  return say("named");
}

// The names that appear in a directory, until one of them is "end".
int watch(const char* path) {
  const int fd = ::inotify_init1(IN_CLOEXEC);
  if (fd < 0 || ::inotify_add_watch(fd, path, IN_CREATE) < 0) return say_error();
  say("watching");
  std::fflush(stdout);
  alignas(inotify_event) std::array<char, 4096> bytes;
  for (;;) {
    const ssize_t size = ::read(fd, bytes.data(), bytes.size());
    if (size <= 0) return say_error();
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      const auto* event = reinterpret_cast<const inotify_event*>(bytes.data() + at);
      say(event->name);
      if (std::strcmp(event->name, "end") == 0) return 0;
      at += sizeof *event + event->len;
    }
  }
}

}  // namespace

int main(int count, char** words) {
  const std::string action = count > 2 ? words[1] : "";
  if (action == "lock" || action == "flock") return hold_lock(words[2], action == "flock");
  if (action == "map") return map(words[2]);
  if (action == "attribute" && count > 3) return set_attribute(words[2], words[3]);
  if (action == "unnamed") return make_unnamed(words[2]);
  if (action == "watch") return watch(words[2]);
  return say("usage: file_probe lock|flock|map|attribute|unnamed|watch PATH [NAME]");
}
