// Which agent sandbox a bundle is, and what the runtime takes from the sandbox's files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "runtime/egress/binding.h"
#include "runtime/egress/control_socket.h"
#include "runtime/egress/log_directory.h"
#include "runtime/egress/marker.h"
#include "runtime/egress/resolvers.h"
#include "runtime/egress/settings.h"
#include "runtime/guest_spec.h"
#include "tests/runtime/sample_spec.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const std::string kContainer(64, 'c');

std::string name_in(std::vector<std::string> env, const std::string& annotation = "") {
  oci::Spec spec = make_sample_spec();
  spec.process->env = std::move(env);
  if (!annotation.empty()) spec.annotations[kSandboxAnnotation] = annotation;
  auto name = find_sandbox_name(spec);
  return name ? *name : name.error().text();
}

TEST(FindSandboxName, TakesTheVariableOrTheAnnotation) {
  EXPECT_EQ(name_in({"PATH=/bin"}), "");
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX=claude-web"}), "claude-web");
  EXPECT_EQ(name_in({}, "claude-web"), "claude-web");
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX=web"}, "web"), "web");
  EXPECT_EQ(name_in({"AGENTVM_SANDBOXES=web", "XAGENTVM_SANDBOX=web"}), "");
}

TEST(FindSandboxName, TakesAnEmptyVariableForNone) {
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX="}), "");
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX"}), "");
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX=", "AGENTVM_SANDBOX=web"}), "web");
}

TEST(FindSandboxName, RefusesTwoOfThem) {
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX=web", "AGENTVM_SANDBOX=web"}),
            "AGENTVM_SANDBOX is set twice in the environment: a container is one agent sandbox at "
            "most");
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX=web"}, "other"),
            "AGENTVM_SANDBOX names agent sandbox 'web' and annotation 'io.agentvm.sandbox' names "
            "'other': a container is one");
}

TEST(FindSandboxName, RefusesWhatIsNoName) {
  for (const std::string name : {"..", "../web", "a/b", "Web", "-web", "a b", ".x"}) {
    EXPECT_THAT(name_in({"AGENTVM_SANDBOX=" + name}),
                HasSubstr("AGENTVM_SANDBOX names no agent sandbox: a name is 1 to 63 of"))
        << name;
  }
  EXPECT_THAT(name_in({"AGENTVM_SANDBOX=" + std::string(64, 'a')}), HasSubstr("1 to 63"));
  EXPECT_EQ(name_in({"AGENTVM_SANDBOX=" + std::string(63, 'a')}), std::string(63, 'a'));
  EXPECT_THAT(name_in({}, "A"), HasSubstr("annotation 'io.agentvm.sandbox' names no agent"));
}

class SandboxFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    config_.sandbox = {directory_.path() + "/kept", directory_.path() + "/run"};
    config_.vm.gateway = directory_.write("gateway", "", 0755);
    std::filesystem::create_directories(config_.sandbox.directory + "/web");
    std::filesystem::create_directories(config_.sandbox.run_directory + "/web");
    write("gateway.json", settings("web", kContainer));
  }

  static std::string settings(const std::string& name, const std::string& container) {
    return R"({"version":1,"sandbox":")" + name + R"(","container":")" + container +
           R"(","default":"deny","layers":[],"credentials":[],"upstream_proxy":""})";
  }
  void write(const std::string& name, const std::string& text, int mode = 0600) const {
    (void)directory_.write("kept/web/" + name, text, mode);
  }
  void write_values(int mode) const {
    (void)directory_.write("run/web/values.json", R"({"version":1,"values":{}})", mode);
  }
  [[nodiscard]] std::string opened(const std::string& name = "web",
                                   const std::string& container = kContainer) const {
    const auto files = open_sandbox_files(config_.sandbox, name, container);
    if (!files) {
      EXPECT_NE(files.error().kind, ErrorKind::internal);
      return files.error().text();
    }
    return files->values ? "with values" : "without values";
  }
  [[nodiscard]] std::string bound(oci::Spec& spec, Config& config) const {
    const auto binding = bind_to_sandbox(spec, "/bundle", kContainer, config);
    if (!binding) return binding.error().text();
    return *binding ? (*binding)->name + " " + (*binding)->resolv_conf : "none";
  }

  TempDir directory_;
  Config config_ = make_default_config();
};

TEST_F(SandboxFilesTest, OpensWhatBelongsToTheContainer) {
  EXPECT_EQ(opened(), "without values");
  write_values(0600);
  EXPECT_EQ(opened(), "with values");
}

TEST_F(SandboxFilesTest, RefusesEveryOtherContainer) {
  EXPECT_THAT(
      opened("web", std::string(64, 'd')),
      HasSubstr("agent sandbox 'web': it is container '" + kContainer + "', not this one ('" +
                std::string(64, 'd') + "'): no container gets the policy of another by naming it"));
}

TEST_F(SandboxFilesTest, SaysWhichSandboxesThereAreNot) {
  EXPECT_THAT(opened("other"),
              AllOf(HasSubstr("agent sandbox 'other': there is none of that name on this host"),
                    HasSubstr("make it with 'agentvm sandbox create'")));
  write("gateway.json", settings("other", kContainer));
  EXPECT_THAT(opened(), HasSubstr("its settings are those of sandbox 'other'"));
}

TEST_F(SandboxFilesTest, RefusesFilesThatAreNotToBeTrusted) {
  write("gateway.json", "{", 0600);
  EXPECT_THAT(opened(), HasSubstr("gateway.json: document: line 1"));
  write("gateway.json", R"({"version":2,"sandbox":"web","container":"x"})");
  EXPECT_THAT(opened(), HasSubstr("its settings are of version 2, and this agentvm reads version"));
  write("gateway.json", settings("web", kContainer), 0666);
  EXPECT_THAT(opened(), HasSubstr("is open to everybody (chmod o-rwx)"));
  write("gateway.json", settings("web", kContainer), 0600);
  write_values(0644);
  EXPECT_THAT(opened(), HasSubstr("values.json' is open to everybody"));
  write_values(0600);
  ::chmod(config_.sandbox.directory.c_str(), 0777);
  EXPECT_THAT(opened(), HasSubstr("may be written by everybody (chmod o-w)"));
}

TEST_F(SandboxFilesTest, NeitherFollowsNorWaits) {
  const std::string file = config_.sandbox.directory + "/web/gateway.json";
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/etc/passwd", file);
  EXPECT_THAT(opened(), HasSubstr("cannot be read"));
  std::filesystem::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_THAT(opened(), HasSubstr("is no regular file"));
}

TEST_F(SandboxFilesTest, BindsWhoNamesItAndNobodyElse) {
  oci::Spec spec = make_sample_spec();
  EXPECT_EQ(bound(spec, config_), "none");
  spec.annotations[kSandboxAnnotation] = "web";
  EXPECT_TRUE(check_supported(spec, config_));
  spec.mounts.push_back({"/etc/resolv.conf", "bind", "/run/resolv", {"rbind", "rw"}, {}, {}});
  EXPECT_EQ(bound(spec, config_), "web /run/resolv");
  EXPECT_THAT(spec.mounts.back().options, ElementsAre("rbind", "ro"));
  config_.vm.gateway = "/nowhere/agentvm-gateway";
  EXPECT_THAT(bound(spec, config_), HasSubstr("the gateway of agent sandboxes is missing"));
}

TEST_F(SandboxFilesTest, GivesTheVmWhatTheSandboxSays) {
  oci::Spec spec = make_sample_spec();
  spec.process->env = {"AGENTVM_SANDBOX=web"};
  write("machine.json",
        R"({"version":1,"container":")" + kContainer + R"(","docker":true,"disk_mib":4096})");
  EXPECT_EQ(bound(spec, config_), "web ");
  EXPECT_EQ(config_.docker.inside, DockerInside::found);
  EXPECT_EQ(config_.disk.size_mib, 4096U);
  write("machine.json", R"({"version":1,"container":")" + kContainer + R"(","docker":false})");
  EXPECT_EQ(bound(spec, config_), "web ");
  EXPECT_EQ(spec.annotations["io.agentvm.docker"], "false");
  write("machine.json", R"({"version":1,"container":"x"})");
  EXPECT_THAT(bound(spec, config_), HasSubstr("agent sandbox 'web': it is container 'x'"));
  write("machine.json", R"({"version":1,"container":"x","disk_mib":1})");
  EXPECT_THAT(bound(spec, config_), HasSubstr("machine.json: /disk_mib: is no size of a disk"));
}

TEST_F(SandboxFilesTest, IsNothingForPods) {
  oci::Spec spec = make_sample_spec();
  EXPECT_TRUE(refuse_sandbox_in_pod(spec));
  spec.process->env = {"AGENTVM_SANDBOX=web"};
  EXPECT_EQ(refuse_sandbox_in_pod(spec).error().text(),
            "it names agent sandbox 'web', and the network of a pod is bound to no policy: give "
            "the sandbox a container that is in no pod");
}

TEST_F(SandboxFilesTest, TheLogGoesFromOneGatewayToTheNext) {
  const std::string sandbox = config_.sandbox.directory + "/web";
  const std::string outside = directory_.write("outside", "", 0600);
  ASSERT_TRUE(take_log_directory(sandbox, 4711));
  const std::string log = directory_.write("kept/web/log/decisions.jsonl", "", 0600);
  std::filesystem::create_hard_link(outside, sandbox + "/log/linked");
  std::filesystem::create_symlink(outside, sandbox + "/log/symlink");
  ASSERT_TRUE(take_log_directory(sandbox, 4712));
  const auto owner = [](const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0);
    return status.st_uid;
  };
  EXPECT_EQ(owner(sandbox + "/log"), 4712U);
  EXPECT_EQ(owner(log), 4712U);
  EXPECT_EQ(owner(outside), 0U);
}

TEST_F(SandboxFilesTest, ASocketIsReplacedOnceNobodyListens) {
  const std::string path = control_socket_path(config_.sandbox, "web");
  auto first = listen_for_control(config_.sandbox, "web");
  ASSERT_TRUE(first);
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0660U);
  EXPECT_THAT(listen_for_control(config_.sandbox, "web").error().text(),
              HasSubstr("it runs already: somebody listens on '" + path));
  remove_dead_socket(path);
  EXPECT_TRUE(std::filesystem::exists(path));
  first->reset();
  EXPECT_TRUE(listen_for_control(config_.sandbox, "web"));
  remove_dead_socket(path);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ParseResolvers, TakesTheNameserversOfAResolvConf) {
  EXPECT_THAT(parse_resolvers("# nameserver 1.1.1.1\n"
                              "search example.com\n"
                              "nameserver 10.0.0.1\n"
                              "nameserver\t2001:db8::53 # a comment\r\n"
                              "nameserver 10.0.0.1\n"
                              "options ndots:0\n"
                              " nameserver 10.0.0.9\n"
                              "nameserver fe80::1%eth0\n"
                              "nameserver fe80::1\n"
                              "nameserver example.com\n"
                              "nameserver --ipv6\n"
                              "nameserver"),
              ElementsAre("10.0.0.1", "2001:db8::53"));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "nameserver 10.0.0." + std::to_string(i) + "\n";
  EXPECT_THAT(parse_resolvers(many), SizeIs(8));
}

TEST(LoadResolvers, ReadsARegularFileOfLimitedSize) {
  const TempDir directory;
  EXPECT_THAT(*load_resolvers(""), IsEmpty());
  EXPECT_THAT(*load_resolvers(directory.write("resolv.conf", "nameserver 127.0.0.11\n")),
              ElementsAre("127.0.0.11"));
  EXPECT_THAT(load_resolvers("/dev/zero").error().text(), HasSubstr("is no regular file"));
  EXPECT_FALSE(load_resolvers(directory.write("large", std::string(65'537, '\n'))));
}

}  // namespace
}  // namespace agentvm::runtime
