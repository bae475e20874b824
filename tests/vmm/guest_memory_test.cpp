#include "vmm/guest_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "oci/base/sys.h"
#include "vmm/template/checksum.h"

namespace agentvm::vmm {
namespace {

constexpr off_t kMib = 1024 * 1024;

UniqueFd sparse_file(off_t size) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), size), 0);
  return fd;
}

void put(const UniqueFd& fd, std::string_view bytes, off_t at) {
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), at), static_cast<ssize_t>(bytes.size()));
}

std::string get(const UniqueFd& fd, std::size_t size, off_t at) {
  std::string bytes(size, '?');
  EXPECT_EQ(::pread(fd.get(), bytes.data(), size, at), static_cast<ssize_t>(size));
  return bytes;
}

off_t used(const UniqueFd& fd) {
  struct stat status{};
  EXPECT_EQ(::fstat(fd.get(), &status), 0);
  return status.st_blocks * 512;
}

// Ends scattered over pages and pieces.
UniqueFd filled_file() {
  UniqueFd fd = sparse_file(64 * kMib);
  put(fd, "first", 0);
  put(fd, std::string(9 * kMib, 'x'), 11 * kMib + 4096);
  put(fd, "last", 64 * kMib - 4);
  return fd;
}

TEST(MemoryCopy, CopiesEveryByteAndNoHole) {
  const UniqueFd from = filled_file();
  const UniqueFd to = sparse_file(64 * kMib);
  auto child = start_memory_copy(from.get(), to.get());
  ASSERT_TRUE(child);
  asio::io_context io(1);
  const auto status = run_to_end(io, child->wait());
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 0);
  EXPECT_EQ(get(to, 5, 0), "first");
  EXPECT_EQ(get(to, 9 * kMib, 11 * kMib + 4096), std::string(9 * kMib, 'x'));
  EXPECT_EQ(get(to, 4, 64 * kMib - 4), "last");
  EXPECT_EQ(used(to), used(from));
  EXPECT_EQ(*checksum_of_pages(to.get()), *checksum_of_pages(from.get()));
}

TEST(MemoryCopy, TellsWhatFailed) {
  const UniqueFd from = filled_file();
  const UniqueFd to = *sys::open_at(AT_FDCWD, "/dev/full", O_WRONLY);
  auto child = start_memory_copy(from.get(), to.get());
  ASSERT_TRUE(child);
  asio::io_context io(1);
  const auto status = run_to_end(io, child->wait());
  ASSERT_TRUE(status);
  ASSERT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), ENOSPC);
}

TEST(UsedPages, LeaveOutWhatIsZeroThoughItWasWritten) {
  const UniqueFd from = filled_file();
  put(from, std::string(8 * kMib, '\0'), 30 * kMib);
  const UniqueFd to = sparse_file(64 * kMib);
  const auto copied = copy_used_pages(from.get(), to.get());
  ASSERT_TRUE(copied) << copied.error().text();
  EXPECT_EQ(*copied, static_cast<std::uint64_t>(9 * kMib + 2 * 4096));
  EXPECT_EQ(used(to), 9 * kMib + 2 * 4096);
  EXPECT_EQ(*checksum_of_pages(to.get()), *checksum_of_pages(from.get()));
}

TEST(Checksum, IsCrc32c) {
  EXPECT_EQ(checksum("123456789"), 0xe3069283U);
}

TEST(Checksum, DependsOnWhereAPageIs) {
  const UniqueFd one = sparse_file(kMib);
  const UniqueFd other = sparse_file(kMib);
  put(one, "x", 4096);
  put(other, "x", 8192);
  EXPECT_NE(*checksum_of_pages(one.get()), *checksum_of_pages(other.get()));
}

}  // namespace
}  // namespace agentvm::vmm
