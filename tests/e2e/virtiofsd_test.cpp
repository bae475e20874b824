#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

// The other tests run with the host's virtiofsd, on Debian 12 the one in C. These with the Rust one.
class RustVirtiofsd : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    const Outcome fetched = run_command({AGENTVM_FETCH_VIRTIOFSD, AGENTVM_FETCHED});
    ASSERT_EQ(fetched.status, 0) << fetched.err;
    configure("virtiofsd = \"" + fetched.out.substr(0, fetched.out.find('\n')) + "\"");
  }
};

TEST_F(RustVirtiofsd, SharesFilesBothWaysWithTheirOwners) {
  const std::string shared = scratch() + "/shared";
  std::filesystem::create_directory(shared);
  write_file(shared + "/from-host", "host\n");
  ASSERT_EQ(::chown((shared + "/from-host").c_str(), 1234, 5678), 0);
  Bundle bundle(
      Bundle::shell("cat /data/from-host; stat -c '%u:%g' /data/from-host; "
                    "echo guest > /data/from-guest; chmod 640 /data/from-guest; exit 5"));
  bundle.spec.mounts.push_back({"/data", "bind", shared, {"rbind", "rw"}, {}, {}});
  const Outcome outcome = run(bundle);
  EXPECT_EQ(outcome.status, 5) << outcome.err;
  EXPECT_EQ(outcome.out, "host\n1234:5678\n");
  EXPECT_EQ(read_file(shared + "/from-guest"), "guest\n");
  struct stat status{};
  ASSERT_EQ(::stat((shared + "/from-guest").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST_F(RustVirtiofsd, KilledItTakesTheVmAlong) {
  const Bundle bundle({"/bin/sleep", "1000"});
  create("web", bundle);
  start("web");
  const auto pids = processes_of("web", "virtiofsd");
  ASSERT_FALSE(pids.empty());
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  wait_for_status("web", "stopped");
  EXPECT_EQ(agentvm({"delete", "web"}).status, 0);
}

}  // namespace
}  // namespace agentvm::e2e
