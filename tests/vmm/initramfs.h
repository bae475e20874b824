// An initramfs whose /init is one program: a cpio archive in the "newc" format
// (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).
#pragma once

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

namespace agentvm::vmm {

inline void append_cpio(std::string& archive, const std::string& name, unsigned mode,
                        const std::string& data) {
  static unsigned inode = 0;
  const auto pad = [&] { archive.append((4 - archive.size() % 4) % 4, '\0'); };
  const std::size_t fields[] = {++inode,         mode, 0, 0, 1, 0, data.size(), 0, 0, 0, 0,
                                name.size() + 1, 0};
  archive += "070701";
  for (const std::size_t field : fields) archive += fmt::format("{:08x}", field);
  archive += name;
  archive += '\0';
  pad();
  archive += data;
  pad();
}

inline std::string make_initramfs(const std::string& init) {
  std::ifstream file(init, std::ios::binary);
  const std::string program{std::istreambuf_iterator<char>(file), {}};
  std::string archive;
  append_cpio(archive, "init", S_IFREG | 0755, program);
  append_cpio(archive, "TRAILER!!!", 0, "");
  return archive;
}

}  // namespace agentvm::vmm
