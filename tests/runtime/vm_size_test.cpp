#include "runtime/vm_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/sample_spec.h"

namespace agentvm::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kMib = 1024 * 1024;

class VmSizeTest : public ::testing::Test {
 protected:
  oci::CpuResources& cpu() {
    auto& resources = spec_.linux_->resources;
    if (!resources) resources = oci::Resources{};
    if (!resources->cpu) resources->cpu = oci::CpuResources{};
    return *resources->cpu;
  }
  void limit_memory(std::int64_t bytes) {
    auto& resources = spec_.linux_->resources;
    if (!resources) resources = oci::Resources{};
    resources->memory = oci::MemoryResources{};
    resources->memory->limit = bytes;
  }
  VmSize size() {
    auto size = vm_size(spec_, config_, host_);
    EXPECT_TRUE(size) << size.error().text();
    return size ? *size : VmSize{};
  }
  std::string error() {
    auto size = vm_size(spec_, config_, host_);
    return size ? "no error" : size.error().text();
  }

  oci::Spec spec_ = make_sample_spec();
  Config config_ = make_default_config();
  HostSize host_{.cpus = 8, .memory_mib = 16 * 1024};
};

TEST_F(VmSizeTest, IsTheDefaultWithoutLimits) {
  EXPECT_EQ(size(), (VmSize{1, 512, 8, 16 * 1024, {}}));
  limit_memory(-1);
  cpu().quota_us = -1;
  cpu().shares = 2048;
  EXPECT_EQ(size(), (VmSize{1, 512, 8, 16 * 1024, {}}));
}

TEST_F(VmSizeTest, FollowsTheCpuLimitsRoundedUp) {
  cpu().quota_us = 150'000;
  EXPECT_EQ(size().vcpus, 2U);
  cpu().period_us = 10'000;
  EXPECT_EQ(size().vcpus, 8U) << "fifteen, but the host has eight";
  config_.vm.max_vcpus = 3;
  EXPECT_EQ(size().vcpus, 3U);
  config_.vm.max_vcpus = 0;
  cpu().cpus = "0-2,5";
  EXPECT_EQ(size().vcpus, 4U);
  cpu().quota_us = 10'000;
  EXPECT_EQ(size().vcpus, 1U);
  cpu().cpus = "0-";
  EXPECT_EQ(error(), "/linux/resources/cpu/cpus: '0-' is not a list such as \"0-2,4\"");
}

TEST_F(VmSizeTest, AddsTheGuestsOverheadToTheMemoryLimit) {
  limit_memory(100 * kMib);
  EXPECT_EQ(size().memory_mib, 228U);
  limit_memory(100 * kMib + 1);
  EXPECT_EQ(size().memory_mib, 229U);
  limit_memory(6 * kMib);
  EXPECT_EQ(size().memory_mib, 134U);
}

TEST_F(VmSizeTest, RefusesLimitsThatNoGuestFits) {
  config_.vm.memory_overhead_mib = 16;
  limit_memory(kMib);
  EXPECT_EQ(error(),
            "memory limit 1 MiB plus 16 MiB of overhead is below the 80 MiB that a guest needs; "
            "raise the limit, or vm.memory_overhead_mib in /etc/agentvm/config.toml");
  host_.memory_mib = 4 * kMaxMemoryMib;
  limit_memory(std::int64_t{1} << 62);
  EXPECT_THAT(error(), HasSubstr("more than the 1048576 MiB that are possible"));
}

TEST_F(VmSizeTest, IsNotMoreThanTheHostHasAndSaysSo) {
  limit_memory(64 * 1024 * kMib);
  EXPECT_EQ(size().memory_mib, 16U * 1024);
  EXPECT_THAT(size().notes,
              ElementsAre("the VM gets 16384 MiB, all that the host has, instead of 65664 MiB"));
}

TEST_F(VmSizeTest, KeepsToTheConfigurationsMostAndSaysSo) {
  config_.vm.max_memory_mib = 1024;
  limit_memory(2048 * kMib);
  EXPECT_EQ(size().memory_mib, 1024U);
  EXPECT_EQ(size().max_memory_mib, 1024U);
  EXPECT_THAT(size().notes,
              ElementsAre("the VM gets 1024 MiB, all that vm.max_memory_mib allows, instead of "
                          "2176 MiB"));
}

TEST_F(VmSizeTest, ReservesWhatItMayGrowTo) {
  config_.vm.max_vcpus = 3;
  config_.vm.max_memory_mib = 4095;
  EXPECT_EQ(size().max_vcpus, 3U);
  EXPECT_EQ(size().max_memory_mib, 4094U) << "in steps of two";
  config_.vm.max_vcpus = 0;
  config_.vm.max_memory_mib = 0;
  host_ = {.cpus = 64, .memory_mib = 1000 * 1024 + 5};
  EXPECT_EQ(size().max_vcpus, kMostReservedVcpus);
  EXPECT_EQ(size().max_memory_mib, kMostReservedMib);
  cpu().quota_us = 2'000'000;
  limit_memory(300 * 1024 * kMib);
  EXPECT_EQ(size().max_vcpus, 20U) << "never less than it has";
  EXPECT_EQ(size().max_memory_mib, size().memory_mib);
  host_ = {.cpus = 1, .memory_mib = 2047};
  cpu().quota_us = 0;
  limit_memory(-1);
  EXPECT_EQ(size().max_vcpus, 1U);
  EXPECT_EQ(size().max_memory_mib, 1024U) << "whole GiB of the host's";
}

TEST_F(VmSizeTest, FollowsTheAnnotations) {
  spec_.annotations = {{kVcpusAnnotation, "4"}, {kMemoryAnnotation, "1024"}};
  EXPECT_EQ(size(), (VmSize{4, 1024, 8, 16 * 1024, {}}));
  limit_memory(2048 * kMib);
  EXPECT_EQ(size().memory_mib, 2176U) << "a lower bound";
  spec_.annotations[kVcpusAnnotation] = "9";
  EXPECT_EQ(error(), "annotation 'io.agentvm.vcpus': expected a number of 1 to 8, found '9'");
  for (const std::string wrong : {"", "-1", "0", "2 ", "x", "99999999999999999999"}) {
    spec_.annotations[kVcpusAnnotation] = wrong;
    EXPECT_THAT(error(), HasSubstr("found '" + wrong + "'"));
  }
}

TEST(HostSizeTest, IsOfThisHost) {
  auto size = host_size();
  ASSERT_TRUE(size) << size.error().text();
  EXPECT_GE(size->cpus, 1U);
  EXPECT_GE(size->memory_mib, 64U);
}

TEST(ConfigFor, TakesTheBundlesChoicesAndSaysWhoseTheyAre) {
  oci::Spec spec = make_sample_spec();
  EXPECT_EQ(*config_for(spec, make_default_config()), make_default_config());
  spec.vm = oci::Vm{};
  spec.vm->kernel_path = "/boot/vmlinux";
  spec.vm->kernel_parameters = {"a=1", "b"};
  spec.vm->kernel_initrd = "/boot/initrd";
  spec.vm->hypervisor_path = "/opt/qemu";
  spec.annotations = {{kAcceleratorAnnotation, "tcg"}, {kKernelParametersAnnotation, "c=2"}};
  Config base = make_default_config();
  base.vm.kernel_parameters = "quiet";
  auto config = config_for(spec, base);
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->vm.kernel, "/boot/vmlinux");
  EXPECT_EQ(config->vm.initramfs, "/boot/initrd");
  EXPECT_EQ(config->vm.qemu, "/opt/qemu");
  EXPECT_EQ(config->vm.kernel_parameters, "quiet a=1 b c=2");
  EXPECT_EQ(config->vm.accelerator, vmm::AcceleratorChoice::tcg);
  EXPECT_EQ(config->origins.at("vm.kernel"), "vm section of the bundle");
  EXPECT_EQ(config->origins.at("vm.accelerator"), "annotation");
}

TEST(ConfigFor, RefusesWordsThatDoNotParse) {
  oci::Spec spec = make_sample_spec();
  spec.annotations = {{kAcceleratorAnnotation, "xen"}};
  auto config = config_for(spec, make_default_config());
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text(),
            "annotation 'io.agentvm.accelerator': expected auto, kvm or tcg, found 'xen'");
  spec.annotations = {{kKernelParametersAnnotation, "a\nb"}};
  config = config_for(spec, make_default_config());
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text(), "kernel parameters must not hold control characters");
}

}  // namespace
}  // namespace agentvm::runtime
