#include "tests/e2e/harness/search.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/base/unique_fd.h"

namespace agentvm::e2e {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;

std::size_t occurrences(std::string_view bytes, const std::string& wanted) {
  std::size_t count = 0;
  for (std::size_t at = bytes.find(wanted); at != std::string_view::npos;
       at = bytes.find(wanted, at + 1)) {
    ++count;
  }
  return count;
}

// Pieces overlap by what could be cut through.
std::size_t count_between(int fd, std::uint64_t begin, std::uint64_t end, const std::string& text) {
  std::size_t count = 0;
  std::string piece(kPiece, '\0');
  for (std::uint64_t at = begin; at < end; at += kPiece - text.size() + 1) {
    const std::uint64_t size = std::min(kPiece, end - at);
    const ssize_t n = ::pread(fd, piece.data(), size, static_cast<off_t>(at));
    if (n > 0) count += occurrences({piece.data(), static_cast<std::size_t>(n)}, text);
    if (size < kPiece) break;
  }
  return count;
}

// A disk's image is mostly holes.
bool has_text(const fs::path& path, const std::string& text) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  off_t end = 0;
  while (fd) {
    const off_t begin = ::lseek(fd.get(), end, SEEK_DATA);
    if (begin < 0) break;
    end = ::lseek(fd.get(), begin, SEEK_HOLE);
    if (count_between(fd.get(), static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(end),
                      text) > 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::size_t count_in_shared_memory(pid_t pid, const std::string& text) {
  const UniqueFd memory(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(memory) << "the memory of process " << pid;
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    char dash = 0;
    std::string rights;
    std::istringstream(line) >> std::hex >> begin >> dash >> end >> rights;
    if (rights == "rw-s") count += count_between(memory.get(), begin, end, text);
  }
  return count;
}

std::vector<std::string> files_with(const std::string& directory, const std::string& text) {
  std::vector<std::string> found;
  std::error_code gone;  // what somebody removes meanwhile
  fs::recursive_directory_iterator entry(directory);
  for (; entry != fs::recursive_directory_iterator(); entry.increment(gone)) {
    const bool file = entry->symlink_status(gone).type() == fs::file_type::regular;
    if (file && has_text(entry->path(), text)) found.push_back(entry->path());
  }
  return found;
}

}  // namespace agentvm::e2e
