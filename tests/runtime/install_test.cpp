#include "runtime/install/install.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "runtime/install/engine_files.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const RuntimeEntry kEntry{"agentvm", "/usr/local/bin/agentvm", ""};

std::string text_of(const Result<std::string>& result) {
  return result ? *result : "error: " + result.error().text();
}

TEST(InstallDocker, KeepsWhatIsThereInItsOrder) {
  const std::string before =
      R"({"log-level":"warn","runtimes":{"kata":{"path":"/k"}},"mtu":1400,"debug":false})";
  EXPECT_EQ(text_of(add_to_docker(before, kEntry)), R"({
    "log-level": "warn",
    "mtu": 1400,
    "debug": false,
    "runtimes": {
        "kata": {
            "path": "/k"
        },
        "agentvm": {
            "path": "/usr/local/bin/agentvm"
        }
    }
}
)");
}

TEST(InstallDocker, StartsAFileAndPassesAConfiguration) {
  EXPECT_EQ(text_of(add_to_docker("", {"vm", "/a", "/etc/vm.toml"})), R"({
    "runtimes": {
        "vm": {
            "path": "/a",
            "runtimeArgs": [
                "--config",
                "/etc/vm.toml"
            ]
        }
    }
}
)");
}

TEST(InstallDocker, IsTheSameTwiceAndUndone) {
  const std::string once = text_of(add_to_docker("{\"mtu\": 1400}", kEntry));
  EXPECT_EQ(text_of(add_to_docker(once, kEntry)), once);
  EXPECT_EQ(text_of(remove_from_docker(once, "agentvm")), "{\n    \"mtu\": 1400\n}\n");
  EXPECT_EQ(text_of(remove_from_docker("{ }", "agentvm")), "{ }");
}

TEST(InstallDocker, LeavesAloneWhatItCannotChange) {
  EXPECT_THAT(text_of(add_to_docker("{\"runtimes\": ", kEntry)), HasSubstr("error: "));
  EXPECT_EQ(text_of(add_to_docker("{\"runtimes\": []}", kEntry)),
            "error: /runtimes: expected an object, found an array");
  const std::string standard =
      R"({"default-runtime": "agentvm", "runtimes": {"agentvm": {"path": "/a"}}})";
  EXPECT_EQ(text_of(remove_from_docker(standard, "agentvm")),
            "error: /default-runtime: names this runtime: give Docker another default first");
}

TEST(InstallContainerd, AddsLinesAtTheEndAndTakesThemOutAgain) {
  const std::string before = "# mine\nversion = 2\n[grpc]\n  address = \"/x\"\n";
  const std::string after = text_of(add_to_containerd(before, kEntry));
  EXPECT_TRUE(after.starts_with(before));
  EXPECT_THAT(after,
              AllOf(HasSubstr("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.\"agentvm\"]"),
                    HasSubstr("runtime_type = \"io.containerd.agentvm.v2\"")));
  EXPECT_EQ(text_of(add_to_containerd(after, kEntry)), after);
  EXPECT_EQ(text_of(remove_from_containerd(after, "agentvm")), before);
}

TEST(InstallContainerd, KnowsTheFilesVersions) {
  EXPECT_THAT(text_of(add_to_containerd("", kEntry)), HasSubstr("version = 2\n"));
  EXPECT_THAT(text_of(add_to_containerd("version = 3\n", kEntry)),
              HasSubstr("[plugins.\"io.containerd.cri.v1.runtime\".containerd"));
  EXPECT_THAT(text_of(add_to_containerd("disabled_plugins = []\n", kEntry)),
              HasSubstr("[plugins.\"cri\".containerd"));
  EXPECT_EQ(text_of(add_to_containerd("version = 9\n", kEntry)),
            "error: its version is none of 1, 2 and 3");
}

TEST(InstallContainerd, LeavesAloneWhatItCannotChange) {
  EXPECT_THAT(text_of(add_to_containerd("version = \n", kEntry)), HasSubstr("error: line 1: "));
  EXPECT_THAT(text_of(add_to_containerd("version = 2\nplugins = { a = 1 }\n", kEntry)),
              HasSubstr("error: with the runtime added: line "));
  EXPECT_THAT(text_of(add_to_containerd(
                  "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.agentvm]\n",
                  kEntry)),
              HasSubstr("it has a runtime 'agentvm' already"));
}

class InstallFiles : public testing::Test {
 protected:
  [[nodiscard]] static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  [[nodiscard]] std::string file() const { return directory_.path() + "/etc/daemon.json"; }
  [[nodiscard]] InstallOrder order(bool remove = false) const {
    return {EngineKind::docker, kEntry, file(), remove};
  }
  TempDir directory_;
};

TEST_F(InstallFiles, AreMadeWithTheirDirectory) {
  auto plan = plan_install(order());
  ASSERT_TRUE(plan) << plan.error().text();
  ASSERT_TRUE(carry_out(*plan));
  EXPECT_THAT(read(file()), HasSubstr("/usr/local/bin/agentvm"));
  EXPECT_FALSE(plan_install(order())->changes());
}

TEST_F(InstallFiles, KeepTheirModeAndABackup) {
  ASSERT_EQ(::mkdir((directory_.path() + "/etc").c_str(), 0755), 0);
  std::ofstream(file()) << "{\"mtu\": 1400}";
  ASSERT_EQ(::chmod(file().c_str(), 0600), 0);
  const auto plan = plan_install(order());
  ASSERT_TRUE(plan) << plan.error().text();
  ASSERT_TRUE(carry_out(*plan));
  EXPECT_EQ(read(backup_of(file())), "{\"mtu\": 1400}");
  struct stat status{};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  ASSERT_TRUE(carry_out(*plan_install(order(true))));
  EXPECT_EQ(read(file()), "{\n    \"mtu\": 1400\n}\n");
}

TEST_F(InstallFiles, ThatAreMalformedAreNamedAndLeftAlone) {
  ASSERT_EQ(::mkdir((directory_.path() + "/etc").c_str(), 0755), 0);
  std::ofstream(file()) << "{oops";
  const auto plan = plan_install(order());
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().text(), HasSubstr("'" + file() + "' is left as it is: "));
  EXPECT_EQ(read(file()), "{oops");
}

}  // namespace
}  // namespace agentvm::runtime
