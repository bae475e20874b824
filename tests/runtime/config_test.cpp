#include "runtime/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "runtime/config_keys.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& text) {
  auto config = parse_config(text, "c.toml");
  return config ? "no error" : config.error().text();
}

TEST(ParseConfig, GivesTheDefaultsForAnEmptyFile) {
  auto config = parse_config("", "c.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(*config, make_default_config());
  EXPECT_EQ(config->vm.default_memory_mib, 512U);
  EXPECT_EQ(config->vm.boot_timeout, std::chrono::milliseconds(60000));
  EXPECT_EQ(config->security.jail, JailChoice::on);
  EXPECT_EQ(config->origins.at("vm.kernel"), "default");
}

TEST(ParseConfig, TakesEveryKindOfValueAndRemembersItsLine) {
  auto config = parse_config(R"([vm]
kernel = "/boot/vmlinux"
accelerator = "tcg"
default_vcpus = 4
stop_timeout_ms = 0

[security]
jail = "off-i-accept-unconfined-qemu"
allow_vm_section = true
allowed_annotations = [
  "io.agentvm.vcpus",
  "io.agentvm.memory_mib",
]
[cgroup]
enabled = false
[log]
level = "warning"
)",
                             "c.toml");
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->vm.kernel, "/boot/vmlinux");
  EXPECT_EQ(config->vm.accelerator, vmm::AcceleratorChoice::tcg);
  EXPECT_EQ(config->vm.default_vcpus, 4U);
  EXPECT_EQ(config->vm.stop_timeout.count(), 0);
  EXPECT_EQ(config->security.jail, JailChoice::off_i_accept_unconfined_qemu);
  EXPECT_TRUE(config->security.allow_vm_section);
  EXPECT_EQ(config->security.allowed_annotations,
            (std::vector<std::string>{"io.agentvm.vcpus", "io.agentvm.memory_mib"}));
  EXPECT_FALSE(config->cgroup.enabled);
  EXPECT_EQ(config->log.level, LogLevel::warning);
  EXPECT_EQ(config->origins.at("vm.accelerator"), "c.toml:3");
  EXPECT_EQ(config->origins.at("vm.qemu"), "default");
}

TEST(ParseConfig, NamesThePlaceAndTheKeyThatIsWrong) {
  EXPECT_EQ(error_of("[vm]\nkernle = \"x\"\n"), "c.toml:2:1: unknown key 'vm.kernle'");
  EXPECT_EQ(error_of("\n[vmm]\n"), "c.toml:2:2: unknown key or table 'vmm'");
  EXPECT_EQ(error_of("vm = 3\n"), "c.toml:1:1: vm: expected a table, not an integer");
  EXPECT_EQ(error_of("[vm]\nkernel = 3\n"),
            "c.toml:2:10: vm.kernel: expected a string, not an integer");
  EXPECT_EQ(error_of("[vm]\ndefault_vcpus = \"2\"\n"),
            "c.toml:2:17: vm.default_vcpus: expected an integer, not a string");
  EXPECT_EQ(error_of("[vm]\ndefault_vcpus = 0\n"),
            "c.toml:2:17: vm.default_vcpus: 0 is out of range, expected 1 to 255");
  EXPECT_EQ(error_of("[vm]\ndefault_vcpus = -1\n"),
            "c.toml:2:17: vm.default_vcpus: -1 is out of range, expected 1 to 255");
  EXPECT_EQ(error_of("[vm]\ndefault_vcpus = 1.5\n"),
            "c.toml:2:17: vm.default_vcpus: expected an integer, not a number with a fraction");
  EXPECT_EQ(error_of("[cgroup]\nenabled = 1\n"),
            "c.toml:2:11: cgroup.enabled: expected true or false, not an integer");
  EXPECT_EQ(error_of("[vm]\naccelerator = \"xen\"\n"),
            "c.toml:2:15: vm.accelerator: expected one of \"auto\", \"kvm\", \"tcg\", not \"xen\"");
  EXPECT_EQ(error_of("[security]\njail = \"off\"\n"),
            "c.toml:2:8: security.jail: expected one of \"on\", \"off-i-accept-unconfined-qemu\", "
            "not \"off\"");
  EXPECT_EQ(error_of("[security]\nallowed_annotations = [\"io.agentvm.vcpus\",\n 4]\n"),
            "c.toml:3:2: security.allowed_annotations: expected a string, not an integer");
  EXPECT_EQ(error_of("[security]\nallowed_annotations = [\"*\"]\n"),
            "c.toml:2:24: security.allowed_annotations: \"*\" does not begin with \"io.agentvm.\"");
  EXPECT_EQ(error_of("[vm]\nkernel = \"a\\u0000b\"\n"),
            "c.toml:2:10: vm.kernel: a string must not contain U+0000");
}

TEST(ParseConfig, NamesThePlaceOfASyntaxError) {
  EXPECT_THAT(error_of("[vm]\nkernel = \n"), HasSubstr("c.toml:2:"));
  EXPECT_THAT(error_of("[vm]\nkernel = \"a\"\nkernel = \"b\"\n"),
              HasSubstr("cannot redefine existing string 'kernel'"));
}

TEST(ParseConfig, BoundsWhatItReads) {
  EXPECT_EQ(error_of(std::string(64 * 1024 + 1, '\n')), "c.toml: more than 65536 bytes");
  std::string deep = "a";
  for (int i = 0; i < 30000; ++i) deep += ".a";
  EXPECT_EQ(error_of("\n" + deep + " = 1\n"), "c.toml:2:1: the line is longer than 1024 bytes");
  std::string nested = "[a";
  for (int i = 0; i < 500; ++i) nested += ".a";
  std::string most = nested + "]\n" + nested.substr(1) + " = 1\n";
  EXPECT_THAT(error_of(most), HasSubstr("unknown key or table 'a'"));
}

TEST(LoadConfig, MeansAllDefaultsForAFileThatIsNotThereUnlessItMustBe) {
  TempDir dir;
  auto config = load_config(dir / "none.toml", false);
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(*config, make_default_config());
  config = load_config(dir / "none.toml", true);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().kind, ErrorKind::not_found);
  EXPECT_EQ(config.error().text(), "configuration '" + (dir / "none.toml") + "' does not exist");
}

TEST(LoadConfig, RefusesAFileThatOthersMayWrite) {
  TempDir dir;
  const std::string path = dir.write("c.toml", "[vm]\n", 0666);
  auto config = load_config(path, true);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text(), "configuration '" + path +
                                       "' can be written by others (mode 0666); run 'chmod go-w " +
                                       path + "'");
}

TEST(LoadConfig, NamesTheFileInErrors) {
  TempDir dir;
  const std::string path = dir.write("c.toml", "[vm]\nx = 1\n");
  auto config = load_config(path, false);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text(), path + ":2:1: unknown key 'vm.x'");
}

TEST(ShippedConfig, IsWhatTheTableOfKeysGenerates) {
  std::ifstream file(AGENTVM_SOURCE_DIR "/runtime/config.toml");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), make_shipped_config({.libexec = "/usr/local/libexec/agentvm",
                                             .data = "/usr/local/share/agentvm"}));
}

TEST(ShippedConfig, ParsesToTheDefaultsWithEveryKeyUncommented) {
  std::stringstream shipped(make_shipped_config());
  std::string text;
  for (std::string line; std::getline(shipped, line);) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    text += line + "\n";
  }
  auto config = parse_config(text, "c.toml");
  ASSERT_TRUE(config) << config.error().text();
  for (const auto& [key, origin] : config->origins)
    EXPECT_THAT(origin, HasSubstr("c.toml:")) << key;
  config->origins = make_default_config().origins;
  EXPECT_EQ(*config, make_default_config());
}

TEST(DescribeConfig, ShowsEachValueAndWhereItCameFrom) {
  auto config = parse_config("[vm]\nkernel_parameters = \"a=\\\"b\\\"\"\n", "/etc/c.toml");
  ASSERT_TRUE(config) << config.error().text();
  const std::string text = describe_config(*config);
  EXPECT_THAT(text, HasSubstr("vm.kernel_parameters = \"a=\\\"b\\\"\"  # /etc/c.toml:2\n"));
  EXPECT_THAT(text, HasSubstr("vm.default_memory_mib = 512  # default\n"));
  EXPECT_THAT(text, HasSubstr("security.allowed_annotations = []  # default\n"));
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(text, '\n')),
            config_keys(install_dirs()).size());
}

TEST(FindVmPrograms, SaysWhatToInstallInWordsThatAreNotAMissingCommand) {
  TempDir dir;
  Config config = make_default_config();
  const std::string program = dir.write("program", "", 0755);
  config.vm.qemu = config.vm.virtiofsd = config.vm.vsock_backend = program;
  config.vm.initramfs = program;
  config.vm.kernel = dir / "vmlinux";
  auto programs = find_vm_programs(config);
  ASSERT_FALSE(programs);
  EXPECT_EQ(programs.error().kind, ErrorKind::unavailable);
  EXPECT_EQ(programs.error().text(),
            "the guest kernel is missing on this host (" + (dir / "vmlinux") +
                "): build it with 'agentvm-kernel', or set vm.kernel in /etc/agentvm/config.toml");
  config.vm.kernel = dir.write("vmlinux", "");
  programs = find_vm_programs(config);
  ASSERT_TRUE(programs) << programs.error().text();
  EXPECT_EQ(programs->kernel, dir / "vmlinux");
  EXPECT_EQ(programs->qemu, program);
}

}  // namespace
}  // namespace agentvm::runtime
