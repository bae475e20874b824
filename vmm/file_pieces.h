// Reading a large file with holes, such as a guest's memory, piece by piece.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace agentvm::vmm {

inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kPiece = std::size_t{4} << 20;

// A part of a file, mapped for reading.
class FileWindow {
 public:
  FileWindow(int fd, off_t offset, std::size_t size)
      : address_(::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, offset)),
        size_(size) {}
  FileWindow(const FileWindow&) = delete;
  FileWindow& operator=(const FileWindow&) = delete;
  ~FileWindow() {
    if (*this) ::munmap(address_, size_);
  }
  explicit operator bool() const { return address_ != MAP_FAILED; }
  [[nodiscard]] const char* data() const { return static_cast<const char*>(address_); }

 private:
  void* address_;
  std::size_t size_;
};

// Calls `take(data, size, offset)`, which gives 0 or errno, for every piece of data in the file: at
// most kPiece bytes that begin and end at pages (or the end of the file). Gives 0 or errno;
// allocates nothing, so that a forked child may use it.
template <class Take>
int for_each_piece(int fd, Take take) {
  off_t end = 0;
  for (;;) {
    const off_t begin = ::lseek(fd, end, SEEK_DATA);
    if (begin < 0) return errno == ENXIO ? 0 : errno;  // ENXIO: nothing but a hole is left
    end = ::lseek(fd, begin, SEEK_HOLE);
    if (end < 0) return errno;
    for (off_t at = begin; at < end;) {
      const auto size = std::min(kPiece, static_cast<std::size_t>(end - at));
      const FileWindow window(fd, at, size);
      if (!window) return errno;
      if (const int failed = take(window.data(), size, at); failed != 0) return failed;
      at += static_cast<off_t>(size);
    }
  }
}

inline bool is_zero(const char* bytes, std::size_t size) {
  return bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0;
}

}  // namespace agentvm::vmm
