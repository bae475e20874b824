#include "vmm/accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "tests/temp_dir.h"
#include "vmm/kvm_probe_cache.h"
#include "vmm/kvm_probe_guest.h"

namespace agentvm::vmm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ProbeKvm, SaysThatThereIsNoDevice) {
  const KvmProbe probe = probe_kvm("/nowhere/kvm");
  EXPECT_FALSE(probe.usable);
  EXPECT_THAT(probe.reason, StartsWith("there is no /nowhere/kvm: "));
}

TEST(ProbeKvm, TakesNoOtherFileForKvm) {
  const TempDir directory;
  for (const std::string& path : {directory.write("kvm", ""), std::string("/dev/null")}) {
    const KvmProbe probe = probe_kvm(path);
    EXPECT_FALSE(probe.usable);
    EXPECT_EQ(probe.reason, path + " is no KVM device of API version 12");
    EXPECT_FALSE(probe.lasting);
  }
}

TEST(ProbeKvm, NamesTheGroupThatMayOpenTheDevice) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const TempDir directory;
  ::chmod(directory.path().c_str(), 0755);
  const std::string path = directory.write("kvm", "", 0660);
  ASSERT_EQ(::chown(path.c_str(), 0, 1), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const KvmProbe probe = probe_kvm(path);
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_FALSE(probe.usable);
  EXPECT_EQ(probe.reason,
            path + " may not be opened: add the user to group daemon (usermod -aG daemon)");
}

TEST(ProbeKvm, AgreesWithWhatThisHostHas) {
  if (::access("/dev/kvm", F_OK) != 0) GTEST_SKIP() << "this host has no /dev/kvm";
  const KvmProbe probe = probe_kvm("/dev/kvm");
  EXPECT_FALSE(probe.reason.empty());
  RecordProperty("usable", probe.usable);
  RecordProperty("reason", probe.reason);
}

std::string reason_of(const KvmProbeExit& exit) {
  const KvmProbe probe = interpret_kvm_probe(exit, "/dev/kvm");
  EXPECT_TRUE(probe.lasting);
  return (probe.usable ? "yes: " : "no: ") + probe.reason;
}

TEST(InterpretKvmProbe, BelievesTheMagicByteAlone) {
  KvmProbeExit exit;
  exit.reason = KVM_EXIT_IO;
  exit.io_out = true;
  exit.io_port = kKvmProbePort;
  exit.io_value = kKvmProbeMagic;
  EXPECT_EQ(reason_of(exit), "yes: /dev/kvm runs guest kernel code natively");
  exit.io_value = 2;
  EXPECT_EQ(reason_of(exit), "no: /dev/kvm opens but computes wrong in guest kernel code (step 2)");
  exit.io_value = kKvmProbeMagic;
  exit.io_out = false;
  EXPECT_THAT(reason_of(exit), HasSubstr("no: /dev/kvm opens but its guest stopped"));
  exit.io_out = true;
  exit.io_port = 0x3f8;
  EXPECT_THAT(reason_of(exit), HasSubstr("no: /dev/kvm opens but its guest stopped"));
}

TEST(InterpretKvmProbe, NamesEveryWayToFail) {
  KvmProbeExit exit;
  exit.reason = KVM_EXIT_INTERNAL_ERROR;
  exit.suberror = KVM_INTERNAL_ERROR_EMULATION;
  EXPECT_EQ(reason_of(exit),
            "no: /dev/kvm opens but emulates guest kernel code (software KVM) and gave up on an "
            "instruction that Linux needs (suberror 1)");
  exit.reason = KVM_EXIT_FAIL_ENTRY;
  exit.hardware_reason = 0x80000021;
  EXPECT_THAT(reason_of(exit), HasSubstr("refuses to enter a guest (reason 0x80000021)"));
  exit.reason = KVM_EXIT_SHUTDOWN;
  EXPECT_THAT(reason_of(exit), HasSubstr("triple fault"));
  exit.reason = KVM_EXIT_HLT;
  EXPECT_THAT(reason_of(exit), HasSubstr("exit reason 5"));
}

TEST(LayOutKvmProbe, MapsItselfAndHandlesTheBreakpoint) {
  std::array<std::byte, KvmProbeLayout::kSize> memory{};
  lay_out_kvm_probe(memory);
  const auto word = [&](std::uint64_t at) {
    std::uint64_t value = 0;
    std::memcpy(&value, memory.data() + at, sizeof value);
    return value;
  };
  EXPECT_EQ(word(KvmProbeLayout::kPml4), KvmProbeLayout::kPdpt | 3);
  EXPECT_EQ(word(KvmProbeLayout::kPdpt), KvmProbeLayout::kPageDirectory | 3);
  EXPECT_EQ(word(KvmProbeLayout::kPageDirectory), 0x83U);
  const std::uint64_t gate = word(KvmProbeLayout::kIdt + 16 * 3);
  const std::uint64_t handler = (gate & 0xffff) | (gate >> 48 << 16);
  EXPECT_GT(handler, KvmProbeLayout::kCode);
  EXPECT_EQ(memory.at(handler), std::byte{0x49});  // inc %r15
}

TEST(DecideAccelerator, NeverDowngradesSilently) {
  const KvmProbe broken{false, "there is no /dev/kvm", 0};
  const auto fallback = decide_accelerator(AcceleratorChoice::automatic, broken);
  ASSERT_TRUE(fallback);
  EXPECT_EQ(fallback->accelerator, Accelerator::tcg);
  EXPECT_EQ(fallback->reason, "KVM cannot be used: there is no /dev/kvm");
  const auto demanded = decide_accelerator(AcceleratorChoice::kvm, broken);
  ASSERT_FALSE(demanded);
  EXPECT_EQ(demanded.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(demanded.error().text(),
            "KVM is demanded (vm.accelerator = \"kvm\") and cannot be used: there is no /dev/kvm");
}

TEST(DecideAccelerator, FollowsTheConfiguration) {
  const KvmProbe good{true, "fine", 0};
  EXPECT_EQ(decide_accelerator(AcceleratorChoice::automatic, good)->accelerator, Accelerator::kvm);
  EXPECT_EQ(decide_accelerator(AcceleratorChoice::kvm, good)->accelerator, Accelerator::kvm);
  EXPECT_EQ(decide_accelerator(AcceleratorChoice::tcg, good)->accelerator, Accelerator::tcg);
}

TEST(ParseAcceleratorChoice, KnowsThreeWords) {
  EXPECT_EQ(*parse_accelerator_choice("auto"), AcceleratorChoice::automatic);
  EXPECT_EQ(*parse_accelerator_choice("kvm"), AcceleratorChoice::kvm);
  EXPECT_EQ(*parse_accelerator_choice("tcg"), AcceleratorChoice::tcg);
  const auto other = parse_accelerator_choice("KVM");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().text(), "accelerator must be auto, kvm or tcg, found 'KVM'");
}

TEST(HostTscKhz, IsAFrequencyThatAProcessorCanHave) {
  const std::uint64_t khz = host_tsc_khz();
  if (khz == 0) GTEST_SKIP() << "this host has no invariant TSC";
  EXPECT_GT(khz, 500'000U);
  EXPECT_LT(khz, 10'000'000U);
}

// The device node of these tests is /dev/null: never usable, never lasting.
TEST(ProbeKvmCached, KeepsNothingThatMayChange) {
  const TempDir cache;
  const KvmProbe probe = probe_kvm_cached("/dev/null", cache.path());
  EXPECT_EQ(probe.reason, "/dev/null is no KVM device of API version 12");
  EXPECT_FALSE(std::filesystem::exists(cache / "kvm-probe.json"));
}

TEST(ProbeKvmCached, ProbesAgainWhenTheCacheIsDamaged) {
  const TempDir cache;
  for (const char* text : {"", "{", "[]", R"({"key": "x", "usable": true, "reason": "old boot"})",
                           R"({"key": 1, "usable": true, "reason": "x"})"}) {
    (void)cache.write("kvm-probe.json", text, 0600);
    const KvmProbe probe = probe_kvm_cached("/dev/null", cache.path());
    EXPECT_FALSE(probe.usable) << text;
    EXPECT_EQ(probe.reason, "/dev/null is no KVM device of API version 12") << text;
  }
}

TEST(KeptOrProbed, AsksOnceForALastingVerdict) {
  const TempDir cache;
  int asked = 0;
  const auto probe = [&] {
    ++asked;
    return KvmProbe{true, "runs \"natively\"", 0.01, true};
  };
  EXPECT_TRUE(kept_or_probed("/dev/null", cache.path(), probe).usable);
  const KvmProbe kept = kept_or_probed("/dev/null", cache.path(), probe);
  EXPECT_EQ(asked, 1);
  EXPECT_TRUE(kept.usable);
  EXPECT_TRUE(kept.lasting);
  EXPECT_EQ(kept.reason, "runs \"natively\"");
  EXPECT_EQ(kept.seconds, 0);
  // Another device is another question.
  (void)kept_or_probed("/dev/zero", cache.path(), probe);
  EXPECT_EQ(asked, 2);
}

TEST(KeptOrProbed, IgnoresAFileThatOthersMayWrite) {
  const TempDir cache;
  int asked = 0;
  const auto probe = [&] {
    ++asked;
    return KvmProbe{true, "fine", 0, true};
  };
  (void)kept_or_probed("/dev/null", cache.path(), probe);
  ::chmod((cache / "kvm-probe.json").c_str(), 0666);
  (void)kept_or_probed("/dev/null", cache.path(), probe);
  EXPECT_EQ(asked, 2);
}

TEST(ProbeKvmCached, DoesWithoutACacheDirectory) {
  EXPECT_FALSE(probe_kvm_cached("/nowhere/kvm", "/nowhere").usable);
}

}  // namespace
}  // namespace agentvm::vmm
