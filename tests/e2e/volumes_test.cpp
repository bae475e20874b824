// Files that the host and containers share: what holds across the wall, what stops at it, and what
// does not come through it.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <list>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class Volumes : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    fs::create_directory(shared());
  }
  [[nodiscard]] std::string shared() const { return scratch() + "/shared"; }
  // A container that waits, with `shared()` on /data.
  void start_with_share(const std::string& id,
                        const std::vector<std::string>& options = {"rbind"}) {
    Bundle& bundle = bundles_.emplace_back(std::vector<std::string>{"/bin/sleep", "1000"});
    fs::copy_file(AGENTVM_FILE_PROBE, bundle.rootfs() + "/bin/file_probe");
    bundle.spec.mounts.push_back({"/data", "bind", shared(), options, {}, {}});
    // As engines give them.
    for (auto* set : {&bundle.spec.process->capabilities->bounding,
                      &bundle.spec.process->capabilities->permitted,
                      &bundle.spec.process->capabilities->effective}) {
      set->insert(set->end(), {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID"});
    }
    create(id, bundle);
    start(id);
  }
  Outcome sh(const std::string& id, const std::string& script) const {
    return agentvm({"exec", id, "sh", "-c", script});
  }
  [[nodiscard]] std::vector<std::string> exec_command(const std::string& id,
                                                      const std::string& script) const {
    return command({"exec", id, "sh", "-c", script});
  }
  std::list<Bundle> bundles_;
};

TEST_F(Volumes, FilesAreTheHostsWithAllThatTheyAre) {
  start_with_share("web");
  write_file(shared() + "/file", "hello\n", 0640);
  ASSERT_EQ(::chown((shared() + "/file").c_str(), 1000, 1001), 0);
  EXPECT_EQ(sh("web",
               "cd /data && stat -c '%u:%g %a' file && ln file hard && mv hard moved && "
               "echo old > over && mv moved over && cat over && chown 5:6 file && "
               "chmod 4755 file && mkfifo pipe && ln -s file soft")
                .out,
            "1000:1001 640\nhello\n");
  EXPECT_EQ(run_command({"stat", "-c", "%u:%g %a %h", shared() + "/file"}).out, "5:6 4755 2\n");
  EXPECT_TRUE(fs::is_fifo(shared() + "/pipe"));
  EXPECT_EQ(fs::read_symlink(shared() + "/soft"), "file");

  write_file(shared() + "/page", std::string(4096, '.'));
  EXPECT_EQ(sh("web", "file_probe map /data/page").out, "mapped\n");
  EXPECT_THAT(read_file(shared() + "/page"), testing::StartsWith("mapped."));
  // Linux has it for virtiofs since 6.2, if virtiofsd has it too.
  EXPECT_THAT(sh("web", "file_probe unnamed /data").out, testing::AnyOf("named\n", "EOPNOTSUPP\n"));
  EXPECT_EQ(sh("web", "file_probe attribute /data/page user.mine").out, "value\n");
  // As everywhere without CAP_SYS_ADMIN.
  EXPECT_EQ(sh("web", "file_probe attribute /data/page trusted.mine").out, "EPERM\n");
}

// docs/compatibility.md: locks and change notices are the guest's kernel's, which knows of nobody
// else.
TEST_F(Volumes, LocksAndNoticesEndAtTheContainersWall) {
  start_with_share("one");
  start_with_share("two");
  CommandOptions typed;
  typed.null_input = false;
  for (const std::string lock : {"lock", "flock"}) {
    const std::string probe = "file_probe " + lock + " /data/" + lock;
    Background locked(exec_command("one", probe), typed);
    ASSERT_TRUE(locked.wait_for_output("locked\n"));
    EXPECT_EQ(sh("one", probe + " < /dev/null").out, "EAGAIN\n");
    EXPECT_EQ(sh("two", probe + " < /dev/null").out, "locked\n");
    EXPECT_EQ(run_command({AGENTVM_FILE_PROBE, lock, shared() + "/" + lock}).out, "locked\n");
  }

  Background watching(exec_command("one", "file_probe watch /data"), typed);
  ASSERT_TRUE(watching.wait_for_output("watching\n"));
  write_file(shared() + "/from-host", "");
  EXPECT_EQ(sh("two", "touch /data/from-two; cat /data/from-host").status, 0);
  EXPECT_TRUE(eventually([&] { return sh("one", "test -e /data/from-two").status == 0; }));
  EXPECT_EQ(sh("one", "touch /data/end").status, 0);
  const Outcome watched = watching.wait();
  EXPECT_THAT(watched.out, HasSubstr("end\n"));
  EXPECT_THAT(watched.out, Not(HasSubstr("from-")));
}

// What is mounted on the host below a source that is a slave shows up; nothing of the container's
// shows up on the host.
TEST_F(Volumes, LaterMountsOfTheHostShowUpInSlaves) {
  ASSERT_EQ(run_command({"mount", "--bind", shared(), shared()}).status, 0);
  ASSERT_EQ(run_command({"mount", "--make-shared", shared()}).status, 0);
  start_with_share("web", {"rbind", "rslave"});
  fs::create_directory(shared() + "/later");
  ASSERT_EQ(::mount("none", (shared() + "/later").c_str(), "tmpfs", 0, nullptr), 0);
  write_file(shared() + "/later/file", "mounted later\n");
  EXPECT_TRUE(
      eventually([&] { return sh("web", "cat /data/later/file").out == "mounted later\n"; }));
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
  EXPECT_EQ(::umount((shared() + "/later").c_str()), 0);
  EXPECT_EQ(::umount(shared().c_str()), 0);
}

// A guest and a helper on the host change a directory into a symlink and back while it is read:
// what a link means is decided by the guest's kernel, in the guest.
TEST_F(Volumes, LinksLeadNowhereOutsideOfTheShare) {
  const std::string secrets = scratch() + "/secrets";
  fs::create_directory(secrets);
  write_file(secrets + "/file", "SECRET");
  fs::create_directory(shared() + "/real");
  write_file(shared() + "/real/file", "harmless");
  start_with_share("web");
  const std::string up = "../../../../../../../../../../";
  const std::string probes =
      "for path in " + secrets + "/file /proc/self/root" + secrets + "/file /data/" + up + secrets +
      "/file; do cat $path; ln -s $path /data/link; cat /data/link; "
      "rm /data/link; done; ln -s " +
      secrets + " /data/dir; cat /data/dir/file; ls /data/dir/; rm /data/dir";
  const Outcome probed = sh("web", probes + " 2>&1");
  EXPECT_THAT(probed.out + probed.err, Not(HasSubstr("SECRET")));
  EXPECT_THAT(sh("web", "ln /data/real/file /hard 2>&1; ln /bin/busybox /data/hard 2>&1").out,
              HasSubstr("ross-device link"));

  const Background swapping(
      {"sh", "-c",
       "while :; do ln -sfn \"$1\" \"$0/real-link\"; mv -T \"$0/real\" \"$0/away\"; "
       "mv -T \"$0/real-link\" \"$0/real\"; rm \"$0/real\"; mv -T \"$0/away\" \"$0/real\"; done",
       shared(), secrets});
  const Outcome raced =
      sh("web",
         "i=0; while test $i -lt 300; do cat /data/real/file; i=$((i+1)); done 2>/dev/null; "
         "while ! cat /data/real/file; do :; done 2>/dev/null");
  EXPECT_THAT(raced.out, HasSubstr("harmless"));
  EXPECT_THAT(raced.out, Not(HasSubstr("SECRET")));
}

// Podman copies in the mount namespace of the process that stands for the container; whoever joins
// it is in the container, wherever the image's links want the volume.
TEST_F(Volumes, WhoJoinsTheStandInsMountsIsInTheContainer) {
  const std::string host = scratch() + "/host";
  fs::create_directories(host + "/below");
  Bundle bundle({"/bin/sleep", "1000"});
  fs::create_directory_symlink("../../../.." + host, bundle.rootfs() + "/escape");
  write_file(shared() + "/file", "shared");
  bundle.spec.mounts.push_back({"/data", "bind", shared(), {"rbind", "ro"}, {}, {}});
  bundle.spec.mounts.push_back({"/escape/below", "bind", shared(), {"rbind"}, {}, {}});
  create("web", bundle);
  start("web");
  const auto joined = [&](const std::string& script) {
    return run_command({"nsenter", "--target", std::to_string(stand_in("web")), "--mount",
                        "/bin/sh", "-c", script});
  };
  EXPECT_EQ(joined("cat /data/file; cat /etc/group | head -n 1").out, "sharedroot:x:0:\n");
  EXPECT_EQ(joined("echo x > /data/new").status, 1);
  EXPECT_EQ(joined("echo there > /new; ls " + scratch() + "/config.toml").status, 1);
  EXPECT_EQ(agentvm({"exec", "web", "cat", "/new"}).out, "there\n");
  EXPECT_EQ(joined("echo through > /escape/below/through").status, 0);
  EXPECT_EQ(read_file(shared() + "/through"), "through\n");
  EXPECT_TRUE(fs::is_empty(host + "/below"));
}

}  // namespace
}  // namespace agentvm::e2e
