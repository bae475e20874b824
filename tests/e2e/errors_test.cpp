#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Each of these must name the thing, fail, and leave nothing: the fixture counts.
class Errors : public Agentvm {
 protected:
  [[nodiscard]] std::string create_error(const Bundle& bundle) const {
    bundle.store();
    return error_of({"create", "--bundle", bundle.path(), "web"});
  }
  [[nodiscard]] std::string error_of(const std::vector<std::string>& arguments) const {
    const Outcome outcome = agentvm(arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.out;
    EXPECT_THAT(agentvm({"list", "--quiet"}).out, testing::IsEmpty());
    return outcome.err;
  }
};

TEST_F(Errors, NoBundleAndNoConfig) {
  EXPECT_THAT(error_of({"create", "--bundle", "/no/such/bundle", "web"}),
              HasSubstr("bundle '/no/such/bundle'"));
  EXPECT_THAT(error_of({"create", "--bundle", scratch(), "web"}),
              AllOf(HasSubstr("has no config.json"), Not(HasSubstr("no such file or directory"))));
}

TEST_F(Errors, ConfigJsonThatIsNotWhatTheSpecSays) {
  const Bundle bundle({"/bin/true"});
  const auto error_for = [&](const std::string& text) {
    bundle.store_text(text);
    return error_of({"create", "--bundle", bundle.path(), "web"});
  };
  EXPECT_THAT(error_for("{\n  \"ociVersion\": \"1.0.2\",\n  oops\n}"), HasSubstr("line 3"));
  EXPECT_THAT(error_for(R"({"ociVersion":"2.0.0"})"),
              HasSubstr(R"(unsupported ociVersion \"2.0.0\")"));
  EXPECT_THAT(error_for(R"({"root":{"path":"rootfs"}})"), HasSubstr("ociVersion"));
  EXPECT_THAT(error_for(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},)"
                        R"("process":{"cwd":"/","args":["sh"],"user":{"uid":-1,"gid":0}}})"),
              HasSubstr("/process/user/uid"));
  EXPECT_THAT(error_for(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},)"
                        R"("process":{"cwd":"tmp","args":["sh"]}})"),
              HasSubstr("/process/cwd"));
  EXPECT_THAT(error_for(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"}})"),
              HasSubstr("/process is missing"));
}

TEST_F(Errors, MissingRootAndMissingMountSource) {
  Bundle bundle({"/bin/true"});
  bundle.spec.root->path = "no-such-root";
  EXPECT_THAT(create_error(bundle), HasSubstr("no-such-root"));
  bundle.spec.root->path = "rootfs";
  bundle.spec.mounts.push_back({"/data", "bind", "/no/such/source", {"rbind"}, {}, {}});
  EXPECT_THAT(create_error(bundle), HasSubstr("/no/such/source"));
}

TEST_F(Errors, AProgramThatIsNotThereOrNotExecutable) {
  EXPECT_THAT(create_error(Bundle({"/nope"})),
              HasSubstr("exec: \\\"/nope\\\": stat /nope: no such file or directory"));
  EXPECT_THAT(create_error(Bundle({"nope"})),
              HasSubstr("exec: \\\"nope\\\": executable file not found in $PATH"));
  EXPECT_THAT(create_error(Bundle({"/etc/passwd"})), HasSubstr("permission denied"));
}

TEST_F(Errors, AWorkingDirectoryThatIsAFile) {
  Bundle bundle({"/bin/true"});
  bundle.spec.process->cwd = "/etc/passwd";
  EXPECT_THAT(create_error(bundle), HasSubstr("/etc/passwd"));
}

TEST_F(Errors, PathTricksStayInTheRoot) {
  // A symlink out of the root resolves inside it; ".." cannot climb.
  const std::string outside = scratch() + "/outside";
  std::filesystem::create_directory(outside);
  Bundle bundle(Bundle::shell("ls /evil/data"));
  std::filesystem::create_symlink(outside, bundle.rootfs() + "/evil");
  bundle.spec.mounts.push_back({"/evil/data", "tmpfs", "tmpfs", {}, {}, {}});
  bundle.spec.mounts.push_back(
      {"/../../../../tmp/agentvm-e2e-climb", "tmpfs", "tmpfs", {}, {}, {}});
  (void)run(bundle);
  EXPECT_TRUE(std::filesystem::is_empty(outside));
  EXPECT_FALSE(std::filesystem::exists("/tmp/agentvm-e2e-climb"));
}

TEST_F(Errors, WhatAVmCannotHonourIsRefusedWithTheReason) {
  Bundle bundle({"/bin/true"});
  const oci::Spec good = bundle.spec;
  std::erase_if(bundle.spec.linux_->namespaces,
                [](const auto& ns) { return ns.type == oci::NamespaceType::network; });
  EXPECT_THAT(create_error(bundle), HasSubstr("network"));
  bundle.spec = good;
  bundle.spec.mounts.push_back({"/d", "bind", "/dev/kmsg", {"bind"}, {}, {}});
  EXPECT_THAT(create_error(bundle), HasSubstr("/dev/kmsg"));
  bundle.spec = good;
  bundle.spec.annotations["io.agentvm.vcpus"] = "2";
  EXPECT_THAT(create_error(bundle), HasSubstr("io.agentvm.vcpus"));
  bundle.store();
  EXPECT_THAT(error_of({"create", "--preserve-fds", "1", "--bundle", bundle.path(), "web"}),
              HasSubstr("cannot be passed into a microVM"));
  EXPECT_THAT(error_of({"checkpoint", "web"}), HasSubstr("checkpoint"));
}

TEST_F(Errors, MissingPartsOfTheVmAreNamed) {
  const Bundle bundle({"/bin/true"});
  bundle.store();
  const auto error_with = [&](const std::string& key) {
    std::string config = read_file(scratch() + "/config.toml");
    const std::size_t given = config.find("\n" + key + " = ");
    if (given != std::string::npos) config.erase(given, config.find('\n', given + 1) - given);
    write_file(scratch() + "/broken.toml", config + key + " = \"/no/such/thing\"\n");
    return error_of(
        {"--config", scratch() + "/broken.toml", "create", "--bundle", bundle.path(), "web"});
  };
  for (const std::string key : {"kernel", "initramfs", "qemu", "virtiofsd", "vsock_backend"}) {
    EXPECT_THAT(error_with(key),
                AllOf(HasSubstr("/no/such/thing"), Not(HasSubstr("no such file or directory"))))
        << key;
  }
}

TEST_F(Errors, ConfigurationMistakesHaveALineNumber) {
  write_file(scratch() + "/broken.toml", "[vm]\n\nkernell = \"x\"\n");
  EXPECT_THAT(error_of({"--config", scratch() + "/broken.toml", "list"}),
              AllOf(HasSubstr("broken.toml:3"), HasSubstr("kernell")));
  EXPECT_THAT(error_of({"--config", "/no/such/config.toml", "list"}), HasSubstr("config.toml"));
}

TEST_F(Errors, TooLittleMemoryIsSaidBeforeAnythingBoots) {
  Bundle bundle({"/bin/true"});
  bundle.spec.linux_->resources->memory.emplace();
  bundle.spec.linux_->resources->memory->limit = 16 << 20;
  configure("memory_overhead_mib = 16");
  EXPECT_THAT(create_error(bundle), HasSubstr("below the 80 MiB that a guest needs"));
}

TEST_F(Errors, AGuestThatDoesNotComeUpIsGivenUpWithItsConsole) {
  configure(
      "boot_timeout_ms = 8000\nkernel_parameters = \"init=/no/such/init rdinit=/no/such/init\"");
  const std::string error = create_error(Bundle({"/bin/true"}));
  EXPECT_THAT(error, HasSubstr("console"));
  EXPECT_THAT(error, HasSubstr("init"));
}

TEST_F(Errors, ABrokenKernelIsGivenUpWithItsConsole) {
  write_file(scratch() + "/vmlinux", "this is no kernel");
  configure("boot_timeout_ms = 4000", "", scratch() + "/vmlinux");
  EXPECT_THAT(create_error(Bundle({"/bin/true"})), HasSubstr("VM"));
}

TEST_F(Errors, TheLogFilesLastErrorLineStandsAlone) {
  const Bundle bundle({"/nope"});
  bundle.store();
  const std::string log = scratch() + "/log.json";
  const Outcome outcome =
      agentvm({"--log", log, "--log-format", "json", "create", "--bundle", bundle.path(), "web"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(read_file(log), HasSubstr(R"({"level":"error","msg":"agentvm create failed: )"));
  EXPECT_THAT(outcome.err, HasSubstr("exec: \"/nope\": stat /nope: no such file or directory"));
}

TEST_F(Errors, AFullDiskLeavesNothing) {
  const std::string small = scratch() + "/small";
  std::filesystem::create_directory(small);
  ASSERT_EQ(::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=4k,mode=700"), 0);
  write_file(small + "/filler", std::string(8192, 'x'));
  const Bundle bundle({"/bin/true"});
  bundle.store();
  const Outcome outcome =
      agentvm({"--root", small + "/root", "create", "--bundle", bundle.path(), "web"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("No space left on device"));
  ASSERT_EQ(::umount(small.c_str()), 0);
}

}  // namespace
}  // namespace agentvm::e2e
