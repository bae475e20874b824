// The way into the guest, run for real in a root of busybox: whose numbers the user gets, what is
// trusted, which files are made. Needs root and busybox-static.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>

#include "oci/base/sys.h"
#include "sandbox/store/program.h"
#include "sandbox/store/session_file.h"
#include "tests/temp_dir.h"

namespace agentvm::sandbox {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kPem = "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n";

class Enter : public testing::Test {
 protected:
  void SetUp() override {
    ::chmod(root_.path().c_str(), 0755);  // "/" of another user too
    for (const char* name : {"bin", "etc/ssl/certs", "dev", "tmp", "work", "run/agentvm-sandbox"}) {
      fs::create_directories(root_ / name);
    }
    fs::copy_file("/bin/busybox", root_ / "bin/busybox");
    const auto applets = run_program({"/bin/busybox", "--list"}, "");
    for (std::size_t at = 0, end = 0; at < applets->output.size(); at = end + 1) {
      end = applets->output.find('\n', at);
      const std::string applet = applets->output.substr(at, end - at);
      if (applet != "busybox") fs::create_symlink("busybox", root_ / ("bin/" + applet));
    }
    ASSERT_EQ(::mknod((root_ / "dev/null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
    ::chmod((root_ / "dev/null").c_str(), 0666);
    root_.write("etc/passwd",
                "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n");
    root_.write("etc/ssl/certs/ca-certificates.crt", "theirs\n");
    fs::copy_file(AGENTVM_SOURCE_DIR "/sandbox/guest/enter.sh",
                  root_ / "run/agentvm-sandbox/enter.sh");
    root_.write("run/agentvm-sandbox/ca.pem", kPem);
    root_.write("run/agentvm-sandbox/notice.md", "# notice\n");
  }

  // enter.sh main, with a workspace of this owner, running `script`.
  std::string run_main(const std::string& script, uid_t uid,
                       const std::string& workspace = "/work") {
    Record record;
    if (!workspace.empty()) record.workspaces = {{workspace, false}};
    record.command = {"sh", "-c", script};
    Agent agent;
    agent.files = {{"~/.tool/settings", "made\n"}};
    agent.notices = {"/etc/deep/notice.md"};
    const Credential credential{.name = "github",
                                .environment = {"GH_TOKEN"},
                                .hosts = {},
                                .headers = {},
                                .method = {},
                                .path = {}};
    root_.write("run/agentvm-sandbox/session",
                session_script(record, agent, {credential}, {uid, uid + 1, "0badcafe"}));
    return enter({"main"});
  }

  std::string enter(const std::vector<std::string>& words) {
    std::vector<std::string> argv{"/usr/bin/env",
                                  "-i",
                                  "PATH=/bin",
                                  "/usr/sbin/chroot",
                                  root_.path(),
                                  "/bin/sh",
                                  "/run/agentvm-sandbox/enter.sh"};
    argv.insert(argv.end(), words.begin(), words.end());
    const auto ran = run_program(argv, "", false);
    EXPECT_TRUE(ran && ran->status == 0);
    return ran ? ran->output : ran.error().text();
  }

  TempDir root_;
};

TEST_F(Enter, BecomesTheUserWithTheNumbersOfTheWorkspacesOwner) {
  EXPECT_EQ(
      run_main("id -un; id -u; id -g; echo $HOME $USER $GH_TOKEN; cat ~/.tool/settings", 1234),
      "agent\n1234\n1235\n/home/agent agent proxy-managed\nmade\n");
  EXPECT_EQ(enter({"exec", "", "", "sh", "-c", "id -u; echo $GH_TOKEN"}), "1234\nproxy-managed\n");
  EXPECT_EQ(enter({"exec", "/tmp", "root", "sh", "-c", "id -u; pwd; echo $HOME"}),
            "0\n/tmp\n/root\n");
  struct stat made{};
  ASSERT_EQ(::stat((root_ / "home/agent/.tool/settings").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 1234U);
}

TEST_F(Enter, StaysRootForRootsWorkspaceAndWhereThereIsNoSuchUser) {
  EXPECT_EQ(run_main("id -u; echo $HOME", 0), "0\n/root\n");
  EXPECT_EQ(run_main("id -un", 0, ""), "agent\n");
  root_.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  EXPECT_EQ(run_main("id -u", 1234), "0\n");
}

TEST_F(Enter, TrustsTheSandboxsAuthorityAloneAndOnce) {
  const std::string bundle = root_ / "etc/ssl/certs/ca-certificates.crt";
  EXPECT_EQ(
      run_main("echo $NODE_EXTRA_CA_CERTS $SSL_CERT_FILE; readlink /etc/ssl/certs/0badcafe.0", 0),
      "/run/agentvm-sandbox/ca.pem /etc/ssl/certs/ca-certificates.crt\n"
      "/run/agentvm-sandbox/ca.pem\n");
  const std::string trusted = *sys::read_file(bundle, 65'536);
  EXPECT_EQ(trusted,
            std::string("theirs\n# agentvm sandbox: begin\n") + kPem + "# agentvm sandbox: end\n");
  (void)run_main("true", 0);
  EXPECT_EQ(*sys::read_file(bundle, 65'536), trusted);
  // An image that was made of another sandbox.
  root_.write("run/agentvm-sandbox/ca.pem",
              "-----BEGIN CERTIFICATE-----\nnext\n-----END CERTIFICATE-----\n");
  (void)run_main("true", 0);
  EXPECT_THAT(*sys::read_file(bundle, 65'536),
              testing::AllOf(HasSubstr("theirs\n"), HasSubstr("next"), Not(HasSubstr("ours"))));
}

TEST_F(Enter, KeepsWhatTheAgentChanged) {
  (void)run_main(
      "echo changed >~/.tool/settings; rm /etc/deep/notice.md; echo mine >/etc/deep/notice.md", 0);
  EXPECT_EQ(run_main("cat ~/.tool/settings /etc/deep/notice.md", 0), "changed\nmine\n");
}

}  // namespace
}  // namespace agentvm::sandbox
