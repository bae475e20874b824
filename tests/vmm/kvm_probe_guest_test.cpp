// The probe's guest program on an emulated processor: a stub that QEMU boots (PVH) copies the
// guest's memory to address 0, switches to long mode as KVM_SET_SREGS would and jumps in.
#include "vmm/kvm_probe_guest.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "tests/temp_dir.h"

asm(R"(
    .pushsection .rodata.stub, "a"
    .code32
stub_begin:
    cld
    mov  $0x200000, %esi            # the guest's memory as loaded
    xor  %edi, %edi
    mov  $0x4000, %ecx              # 64 KiB in words
    rep movsl
    mov  $0x20, %eax                # PAE
    mov  %eax, %cr4
    mov  $0x1000, %eax              # KvmProbeLayout::kPml4
    mov  %eax, %cr3
    mov  $0xc0000080, %ecx          # EFER
    mov  $0x100, %eax               # LME
    xor  %edx, %edx
    wrmsr
    mov  $0x80010033, %eax
    mov  %eax, %cr0
    lgdt 0x100000 + (stub_gdtr - stub_begin)
    lidt 0x100000 + (stub_idtr - stub_begin)
    mov  $0x8000, %esp
    ljmp $8, $0x6000
stub_gdtr: .word 0x17
    .long 0x4000
stub_idtr: .word 0xfff
    .long 0x5000
stub_end:
    .code64
    .popsection
)");

extern "C" const unsigned char stub_begin[] asm("stub_begin");
extern "C" const unsigned char stub_end[] asm("stub_end");

namespace agentvm::vmm {
namespace {

constexpr const char* kQemu = "/usr/bin/qemu-system-x86_64";
constexpr std::uint64_t kStubAddress = 0x100000;
constexpr std::uint64_t kImageAddress = 0x200000;
constexpr std::uint32_t kPvhEntryNote = 18;  // XEN_ELFNOTE_PHYS32_ENTRY

template <class T>
void append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

Elf64_Phdr segment(std::uint32_t type, std::uint64_t offset, std::uint64_t address,
                   std::uint64_t size) {
  Elf64_Phdr header{};
  header.p_type = type;
  header.p_flags = PF_R | PF_W | PF_X;
  header.p_offset = offset;
  header.p_vaddr = header.p_paddr = address;
  header.p_filesz = header.p_memsz = size;
  header.p_align = type == PT_NOTE ? 4 : 1;
  return header;
}

// An ELF kernel of three segments: the PVH note, the stub, the guest's memory.
std::string make_kernel() {
  std::array<std::byte, KvmProbeLayout::kSize> memory{};
  lay_out_kvm_probe(memory);
  std::string note;
  append(note, Elf64_Nhdr{4, 8, kPvhEntryNote});
  note.append("Xen", 4);
  append(note, kStubAddress);
  const std::string stub(reinterpret_cast<const char*>(stub_begin),
                         static_cast<std::size_t>(stub_end - stub_begin));
  constexpr std::uint64_t kNoteAt = sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_entry = kStubAddress;
  header.e_phoff = header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 3;
  std::string file;
  append(file, header);
  append(file, segment(PT_NOTE, kNoteAt, 0, note.size()));
  append(file, segment(PT_LOAD, kNoteAt + note.size(), kStubAddress, stub.size()));
  append(file, segment(PT_LOAD, kNoteAt + note.size() + stub.size(), kImageAddress, memory.size()));
  return file + note + stub +
         std::string(reinterpret_cast<const char*>(memory.data()), memory.size());
}

TEST(KvmProbeGuest, ReachesItsMagicByteOnAProcessor) {
  if (::access(kQemu, X_OK) != 0) GTEST_SKIP() << kQemu << " is not installed";
  const TempDir directory;
  const std::string kernel = directory.write("kernel", make_kernel());
  // The device ends QEMU with twice the written byte plus one.
  std::vector<std::string> argv{kQemu,
                                "-nodefaults",
                                "-display",
                                "none",
                                "-no-reboot",
                                "-M",
                                "q35",
                                "-accel",
                                "tcg",
                                "-cpu",
                                "max",
                                "-m",
                                "64M",
                                "-kernel",
                                kernel,
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=1"};
  std::vector<char*> words;
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  pid_t pid = 0;
  ASSERT_EQ(::posix_spawn(&pid, kQemu, nullptr, nullptr, words.data(), environ), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 2 * kKvmProbeMagic + 1);
}

}  // namespace
}  // namespace agentvm::vmm
