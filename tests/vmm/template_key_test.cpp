#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "tests/temp_dir.h"
#include "vmm/template/key.h"
#include "vmm/template/manifest.h"

namespace agentvm::vmm {
namespace {

using ::testing::HasSubstr;

class Key : public ::testing::Test {
 protected:
  Key() {
    config_.qemu = directory_.write("qemu", "q");
    config_.kernel = directory_.write("kernel", "k");
    config_.initramfs = directory_.write("initramfs", "i");
    config_.kernel_parameters = "quiet";
    config_.tsc_khz = 2'000'000;
  }
  TempDir directory_;
  MachineConfig config_;
};

TEST_F(Key, IsTheSameForTheSameMachineHoweverItStarts) {
  MachineConfig restored = config_;
  restored.start = MachineStart::restore;
  restored.memory_file = "/run/agentvm/web/memory/memory";
  restored.shared_dir = "/run/agentvm/web/shared";
  EXPECT_EQ(*make_template_key(config_), *make_template_key(restored));
  EXPECT_EQ(make_template_key(config_)->name().size(), 16U);
}

TEST_F(Key, DiffersWithAllThatShapesTheGuest) {
  const TemplateKey key = *make_template_key(config_);
  const std::vector<std::function<void(MachineConfig&)>> changes{
      [](MachineConfig& c) { c.vcpus = 2; },
      [](MachineConfig& c) { c.memory_mib = 1024; },
      [](MachineConfig& c) { c.most.vcpus = 4; },
      [](MachineConfig& c) { c.most.memory_mib = 4096; },
      [](MachineConfig& c) { c.kernel_parameters = "loud"; },
      [](MachineConfig& c) { c.tsc_khz = 3'000'000; },
      [](MachineConfig& c) { c.accelerator = Accelerator::kvm; },
      [this](MachineConfig& c) { c.kernel = directory_.write("other-kernel", "k"); },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    MachineConfig changed = config_;
    changes[i](changed);
    const auto other = make_template_key(changed);
    ASSERT_TRUE(other);
    EXPECT_NE(*other, key) << i;
    EXPECT_NE(other->name(), key.name()) << i;
  }
}

TEST_F(Key, DiffersOnceAFileIsReplacedUnderItsName) {
  for (const std::string& path : {config_.qemu, config_.kernel, config_.initramfs}) {
    const TemplateKey key = *make_template_key(config_);
    std::ofstream(path + ".next") << "x";
    std::filesystem::rename(path + ".next", path);
    EXPECT_NE(*make_template_key(config_), key) << path;
  }
}

TEST_F(Key, IsUnavailableWithoutAFile) {
  std::filesystem::remove(config_.initramfs);
  const auto key = make_template_key(config_);
  ASSERT_FALSE(key);
  EXPECT_EQ(key.error().kind, ErrorKind::unavailable);
  EXPECT_THAT(key.error().text(), HasSubstr("initramfs '"));
}

TEST(Manifest, IsReadAsItWasWritten) {
  const TemplateManifest manifest{"key\nlines\n", 2, 512, 30'000'000, 0xfedcba98, 270'000, 7, 3300};
  const auto read = parse_manifest(write_manifest(manifest));
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(*read, manifest);
}

TEST(Manifest, NamesWhatIsMissingOrUnknown) {
  EXPECT_THAT(parse_manifest("{}").error().text(), HasSubstr("key"));
  std::string text = write_manifest({});
  text.insert(1, "\"more\": 1,");
  EXPECT_THAT(parse_manifest(text).error().text(), HasSubstr("another version of agentvm"));
}

}  // namespace
}  // namespace agentvm::vmm
