#include "vmm/template/checksum.h"

#include <sys/types.h>

#include <boost/crc.hpp>

#include "oci/base/try.h"
#include "vmm/file_pieces.h"

namespace agentvm::vmm {

namespace {

using Crc32c = boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true>;

void add_page(Crc32c& crc, const char* bytes, std::size_t size, off_t offset) {
  if (is_zero(bytes, size)) return;
  const auto number = static_cast<std::uint64_t>(offset) / kPage;
  crc.process_bytes(&number, sizeof number);
  crc.process_bytes(bytes, size);
}

}  // namespace

std::uint32_t checksum(std::string_view bytes) {
  Crc32c crc;
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

Result<std::uint32_t> checksum_of_pages(int fd) {
  Crc32c crc;
  const int failed = for_each_piece(fd, [&crc](const char* bytes, std::size_t size, off_t offset) {
    for (std::size_t at = 0; at < size; at += kPage) {
      add_page(crc, bytes + at, std::min(kPage, size - at), offset + static_cast<off_t>(at));
    }
    return 0;
  });
  if (failed != 0) return fail_errno(failed, "read the file");
  return crc.checksum();
}

}  // namespace agentvm::vmm
