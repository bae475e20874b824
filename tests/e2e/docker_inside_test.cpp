// A real Docker daemon inside a container that a real one outside runs with agentvm. Everything
// that can share a VM does: under emulation a daemon takes long to start.
#include <fmt/format.h>

#include <csignal>
#include <filesystem>

#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class DockerInside : public Docker {
 protected:
  void SetUp() override {
    Docker::SetUp();
    if (HasFatalFailure()) return;
    configure("default_memory_mib = 1024\ndefault_vcpus = 2\n[docker]\ninside = \"found\"\n");
    const std::string tree = scratch() + "/tree";
    const Outcome made = run_command({AGENTVM_MAKE_DOCKER_ROOT, tree});
    ASSERT_EQ(made.status, 0) << made.err;
    const std::string archive = scratch() + "/engine.tar";
    ASSERT_EQ(run_command({"tar", "-C", tree, "-cf", archive, "."}).status, 0);
    fs::remove_all(tree);
    const Outcome imported = docker({"import", archive, "engine"});
    ASSERT_EQ(imported.status, 0) << imported.err;
    fs::remove(archive);
  }

  // In the outer container.
  Outcome inside(const std::string& script) const {
    CommandOptions options;
    options.timeout = std::chrono::seconds(200);
    return docker({"exec", "--privileged", "outer", "sh", "-c", script}, options);
  }
  std::string output_of(const std::string& script) const {
    const Outcome outcome = inside(script);
    EXPECT_EQ(outcome.status, 0) << script << ":\n" << outcome.out << outcome.err;
    return outcome.out;
  }
  void start_outer(const std::vector<std::string>& options = {}) const {
    std::vector<std::string> arguments{"run",   "--detach",  "--name",
                                       "outer", "--runtime", "agentvm"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"engine", "sh", "-c", "while :; do sleep 1000; done"});
    const Outcome started = docker(arguments);
    ASSERT_EQ(started.status, 0) << started.err;
  }
  void restart_outer() const { ASSERT_EQ(docker({"restart", "--time", "1", "outer"}).status, 0); }
  void import_box() const {
    output_of(
        "mkdir -p /box/bin /box/etc /box/tmp && cp /bin/busybox /box/bin && "
        "for i in sh ls cat echo cp mount grep httpd sleep touch wc test id mkdir; do "
        "ln -s busybox /box/bin/$i; done && tar -C /box -c . | docker import - box");
  }
  // Disks of the outer daemon's containers.
  [[nodiscard]] std::vector<std::string> disks_on_host() const {
    std::vector<std::string> found;
    for (const auto& layer : fs::directory_iterator(scratch() + "/docker/overlay2")) {
      const fs::path image = layer.path() / "agentvm-disk.img";
      if (fs::exists(image)) found.push_back(image);
    }
    return found;
  }
  Outcome agentvm_of_docker(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all{scratch() + "/runtime", "--root",
                                 scratch() + "/docker-run/runtime-runc/moby"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_command(all);
  }
};

TEST_F(DockerInside, RunsBuildsPublishesAndSeesNothingOfTheHost) {
  start_outer();
  ASSERT_FALSE(HasFatalFailure());
  // Nothing runs before somebody asks.
  EXPECT_THAT(output_of("ps"), Not(HasSubstr("dockerd")));
  EXPECT_EQ(output_of("docker info --format '{{.Driver}} {{.CgroupVersion}} {{.CgroupDriver}}'"),
            "overlay2 2 cgroupfs\n");
  EXPECT_THAT(output_of("docker info 2>&1"), Not(HasSubstr("WARNING")));
  import_box();

  EXPECT_EQ(output_of("docker run --rm --memory 64m --cpus 1 --pids-limit 50 box sh -c "
                      "'echo hi; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max'"),
            "hi\n67108864\n50\n");
  EXPECT_EQ(
      output_of("mkdir /src && cd /src && echo one > file && printf '"
                "FROM box AS first\\nCOPY file /a\\nRUN cat /a > /b && echo two >> /b\\n"
                "FROM box\\nCOPY --from=first /b /c\\nCMD [\"cat\", \"/c\"]\\n' > Dockerfile && "
                "DOCKER_BUILDKIT=0 docker build -q -t built . > /dev/null && "
                "docker run --rm built"),
      "one\ntwo\n");
  // A published port, a volume, exec, stop.
  output_of(
      "docker volume create data && docker run -d --name web -p 8080:80 -v data:/www box "
      "sh -c 'echo page > /www/index.html; exec httpd -f -p 80 -h /www'");
  EXPECT_EQ(
      output_of("for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://127.0.0.1:8080/ && break; "
                "sleep 1; done"),
      "page\n");
  EXPECT_EQ(output_of("wget -q -O - http://$(hostname -i):8080/"), "page\n");
  EXPECT_EQ(output_of("docker exec web cat /www/index.html"), "page\n");
  EXPECT_EQ(output_of("docker stop -t 0 web && docker run --rm -v data:/x box cat /x/index.html"),
            "web\npage\n");

  // Neither sees the other, and privileges inside are those of the guest.
  EXPECT_EQ(output_of("docker ps --all --format '{{.Names}}'"), "web\n");
  EXPECT_THAT(output_of("docker images --format '{{.Repository}}'"), Not(HasSubstr("engine")));
  EXPECT_EQ(docker_out({"ps", "--all", "--format", "{{.Names}}"}), "outer");
  EXPECT_THAT(docker_out({"images", "--format", "{{.Repository}}"}), Not(HasSubstr("built")));
  EXPECT_THAT(docker_out({"volume", "ls", "--quiet"}), IsEmpty());
  EXPECT_EQ(output_of("docker run --rm --privileged -v /:/guest box sh -c "
                      "'ls -d /sys/block/vd*; ls /guest/src'"),
            "/sys/block/vda\nDockerfile\nfile\n");

  // What the container's own Docker has said, and what its disk takes.
  const std::string id = docker_out({"inspect", "--format", "{{.Id}}", "outer"});
  EXPECT_THAT(agentvm_of_docker({"logs", "--docker", id}).out, HasSubstr("API listen on"));
  ASSERT_EQ(disks_on_host().size(), 1U);
  EXPECT_THAT(agentvm_of_docker({"state", "--verbose", id}).out,
              HasSubstr(disks_on_host().front()));
  EXPECT_THAT(docker_out({"diff", "outer"}), Not(HasSubstr("agentvm-disk")));
}

// What Docker's own check of a kernel looks for, as the things themselves: a kernel that loads its
// modules on demand cannot be asked what it has.
TEST_F(DockerInside, TheKernelLacksNothingThatDockerCanUse) {
  start_outer();
  ASSERT_FALSE(HasFatalFailure());
  const std::string failed = output_of(R"(
docker version >/dev/null
check() { "$@" >/dev/null 2>/tmp/err || { echo "FAILED: $*"; cat /tmp/err; }; }
for c in cpu cpuset io memory pids hugetlb; do
  check grep -qw $c /sys/fs/cgroup/cgroup.controllers
done
for n in cgroup ipc mnt net pid user uts time; do check test -e /proc/self/ns/$n; done
for f in overlay ext4 fuse squashfs mqueue tmpfs cgroup2 binfmt_misc; do
  [ $f = binfmt_misc ] || grep -qw $f /proc/filesystems || mount -t $f none /mnt 2>/dev/null
done
check mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
for t in bridge dummy ifb; do check ip link add check-$t type $t; done
check ip link add check-v0 type veth peer name check-v1
check ip link add check-vlan link check-v0 type vlan id 5
check ip link add check-macvlan link check-v0 type macvlan
for i in iptables ip6tables iptables-legacy ip6tables-legacy; do
  check $i -t nat -N CHECK
  check $i -t nat -A CHECK -m addrtype --dst-type LOCAL -j RETURN
  check $i -t nat -A CHECK -p tcp -j MASQUERADE
  check $i -t nat -A CHECK -p tcp -j REDIRECT --to-ports 80
  check $i -N CHECK
  check $i -A CHECK -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
  check $i -A CHECK -p tcp -m multiport --dports 1,2 -m comment --comment x -j DROP
  check $i -A CHECK -m limit --limit 1/s -j LOG
  check $i -A CHECK -m mark --mark 1 -j REJECT
  check $i -A CHECK -m statistic --mode random --probability 0.5 -j RETURN
  check $i -A CHECK -m u32 --u32 '0x0=0x0' -j RETURN
  check $i -A CHECK -m policy --dir in --pol ipsec -j RETURN
  check $i -t mangle -N CHECK
  check $i -t mangle -A CHECK -j MARK --set-mark 1
  check $i -t raw -A PREROUTING -p udp --dport 1 -j NOTRACK
done
check iptables -t nat -A CHECK -p tcp -j DNAT --to-destination 10.0.0.1:80
check iptables -A CHECK -m ipvs --ipvs -j RETURN
check test -e /proc/sys/net/bridge/bridge-nf-call-iptables
check sh -c 'dd if=/dev/zero of=/tmp/disk bs=1M count=1 && losetup -f /tmp/disk'
check grep -q 'Seccomp:' /proc/self/status
check unshare -U true
check test -e /proc/sys/net/ipv4/ip_forward -a -e /proc/sys/net/ipv6
echo done)");
  EXPECT_EQ(failed, "done\n");
}

TEST_F(DockerInside, ImagesStayOverRestartsAndDeathsAndGoWithTheContainer) {
  start_outer();
  ASSERT_FALSE(HasFatalFailure());
  import_box();
  output_of(
      "docker run -d --name worker box sh -c "
      "'while :; do cat /bin/busybox > /x; cat /x > /y; done'");
  restart_outer();
  EXPECT_EQ(output_of("docker ps --all --format '{{.Names}}'"), "worker\n");
  EXPECT_THAT(output_of("docker start worker"), HasSubstr("worker"));

  // The VM dies while the worker writes.
  const std::string id = docker_out({"inspect", "--format", "{{.Id}}", "outer"});
  const std::string stand_in = docker_out({"inspect", "--format", "{{.State.Pid}}", "outer"});
  ASSERT_EQ(::kill(std::stoi(stand_in), SIGKILL), 0);
  EXPECT_TRUE(eventually([&] {
    return docker_out({"inspect", "--format", "{{.State.Running}}", "outer"}) == "false";
  }));
  ASSERT_EQ(docker({"start", "outer"}).status, 0);
  EXPECT_EQ(output_of("docker images --format '{{.Repository}}'"), "box\n");
  EXPECT_EQ(output_of("docker start worker && docker exec worker echo alive"), "worker\nalive\n");

  EXPECT_EQ(disks_on_host().size(), 1U);
  ASSERT_EQ(docker({"rm", "--force", "outer"}).status, 0);
  EXPECT_THAT(disks_on_host(), IsEmpty());
}

TEST_F(DockerInside, AVolumeIsTheDiskOfOneContainerAtATime) {
  start_outer({"--volume", "layers:/var/lib/docker"});
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_THAT(output_of("grep ' /var/lib/docker ' /proc/mounts"), HasSubstr("ext4"));
  output_of("echo kept > /var/lib/docker/file");
  const Outcome second = docker({"run", "--rm", "--runtime", "agentvm", "--volume",
                                 "layers:/var/lib/docker", "engine", "true"});
  EXPECT_EQ(second.status, 125);
  EXPECT_THAT(second.err, HasSubstr("another container has it"));
  ASSERT_EQ(docker({"rm", "--force", "outer"}).status, 0);
  start_outer({"--volume", "layers:/var/lib/docker"});
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(output_of("cat /var/lib/docker/file"), "kept\n");
  EXPECT_EQ(docker({"rm", "--force", "outer"}).status, 0);
  EXPECT_EQ(docker({"volume", "rm", "layers"}).status, 0);
}

}  // namespace
}  // namespace agentvm::e2e
