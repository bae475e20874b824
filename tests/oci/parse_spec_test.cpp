#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/spec_parser.h"
#include "tests/oci/test_data.h"

namespace agentvm::oci {
namespace {

// A minimal spec with `members` added.
std::string with(std::string_view members) {
  return fmt::format(R"({{"ociVersion": "1.2.0", "root": {{"path": "r"}}, {}}})", members);
}
std::string with_linux(std::string_view members) {
  return with(fmt::format("\"linux\": {{{}}}", members));
}

std::string error_of(const std::string& text) {
  const auto spec = parse_spec(text);
  if (spec) return "no error";
  EXPECT_EQ(spec.error().kind, ErrorKind::invalid_argument);
  return spec.error().text();
}
std::string linux_error(std::string_view members) {
  return error_of(with_linux(members));
}

std::string version_error(std::string_view version) {
  return error_of(fmt::format(R"({{"ociVersion": "{}", "root": {{"path": "r"}}}})", version));
}

TEST(ParseSpec, TakesEveryVersionOneDocument) {
  for (const char* version : {"1.0.0", "1.0.2-dev", "1.2.1", "1.3.0", "1.0.0-rc.5+x.y-z"}) {
    EXPECT_EQ(version_error(version), "no error") << version;
  }
}

TEST(ParseSpec, RefusesOtherMajorVersionsBeforeAnythingElse) {
  EXPECT_EQ(error_of(R"({"ociVersion": "2.0.0", "root": 7})"),
            "unsupported ociVersion \"2.0.0\": this runtime implements 1.0.0 to 1.2.1");
  EXPECT_EQ(version_error("0.5.0-dev"),
            "unsupported ociVersion \"0.5.0-dev\": this runtime implements 1.0.0 to 1.2.1");
  EXPECT_EQ(version_error("10.0.0"),
            "unsupported ociVersion \"10.0.0\": this runtime implements 1.0.0 to 1.2.1");
}

TEST(ParseSpec, RefusesWhatIsNoVersion) {
  for (const char* version : {"", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.x", "v1.0.0", "1.0.0-",
                              "1.0.0+", "1.0.0-a..b", "1.0.0-ä"}) {
    EXPECT_EQ(
        version_error(version),
        fmt::format("/ociVersion: must be a semantic version like 1.2.0, found \"{}\"", version));
  }
  EXPECT_EQ(error_of(R"({"root": {"path": "r"}})"), "/ociVersion: required");
  EXPECT_EQ(error_of(R"({"ociVersion": 1})"), "/ociVersion: expected a string, found 1");
}

TEST(ParseSpec, WantsARoot) {
  EXPECT_EQ(error_of(R"({"ociVersion": "1.0.0"})"), "/root: required");
  EXPECT_EQ(error_of(R"({"ociVersion": "1.0.0", "root": {}})"), "/root/path: required");
  EXPECT_EQ(error_of(R"({"ociVersion": "1.0.0", "root": {"path": ""}})"),
            "/root/path: must not be empty, found \"\"");
}

TEST(ParseSpec, ReadsADockerSpec) {
  const auto spec = parse_spec(test_data("docker.json"));
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_EQ(spec->process->console_size, (ConsoleSize{.height = 50, .width = 190}));
  EXPECT_EQ(spec->process->args.back(), "print('h\u00e9llo \U0001f600 \\\"quoted\\\"')");
  EXPECT_EQ(spec->process->rlimits.front().hard, 18446744073709551615U);
  EXPECT_EQ(spec->mounts.size(), 13U);
  EXPECT_EQ(spec->hooks.prestart.front().args.front(), "libnetwork-setkey");
  EXPECT_EQ(spec->hooks.poststop.front().timeout_s, 5);
  const Linux& lin = *spec->linux_;
  EXPECT_EQ(lin.namespaces.size(), 6U);
  EXPECT_EQ(lin.resources->memory->swap, -1);
  EXPECT_EQ(lin.resources->pids_limit, 100);
  EXPECT_EQ(lin.resources->devices.size(), 8U);
  EXPECT_FALSE(lin.resources->devices.front().allow);
  EXPECT_EQ(lin.seccomp->default_errno_ret, 1U);
  EXPECT_GT(lin.seccomp->syscalls.front().names.size(), 300U);
  EXPECT_EQ(lin.seccomp->syscalls[7].args.front().value, 4294967295U);
}

TEST(ParseSpec, TakesARelativeDestinationFromTheRootAsRuncDoes) {
  const auto spec = parse_spec(with(R"("mounts": [{"destination": "data/x"}])"));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->mounts.front().destination, "/data/x");
  EXPECT_EQ(error_of(with(R"("mounts": [{"destination": ""}])")),
            "/mounts/0/destination: must not be empty, found \"\"");
  EXPECT_EQ(error_of(with(R"("mounts": [{"destination": "/a"}, {"source": "/b"}])")),
            "/mounts/1/destination: required");
}

TEST(ParseSpec, WantsBothMappingsOfAMount) {
  EXPECT_EQ(error_of(with(R"("mounts": [{"destination": "/a", "uidMappings":
                [{"containerID": 0, "hostID": 1, "size": 1}]}])")),
            "/mounts/0/uidMappings: needs gidMappings and the other way round");
}

TEST(ParseSpec, CollectsWhatItDoesNotKnow) {
  const auto spec = parse_spec(with(R"(
      "windows": {"layerFolders": []}, "solaris": {}, "platform": null,
      "process": {"cwd": "/", "args": ["a"], "commandLine": "a",
                  "user": {"uid": 1, "gid": 1, "username": "x"},
                  "capabilities": {"bounding": ["CAP_KILL", "CAP_NEW", "kill"]}},
      "linux": {"memoryPolicy": {"mode": "x"}, "resources": {"memory": {"novel": 1}}})"));
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_THAT(spec->unknown_members,
              testing::UnorderedElementsAre(
                  "/windows", "/solaris", "/process/commandLine", "/process/user/username",
                  "/process/capabilities/bounding/1", "/process/capabilities/bounding/2",
                  "/linux/memoryPolicy", "/linux/resources/memory/novel"));
  EXPECT_THAT(spec->process->capabilities->bounding, testing::ElementsAre("CAP_KILL"));
}

TEST(ParseSpec, ChecksHooks) {
  EXPECT_EQ(error_of(with(R"("hooks": {"prestart": [{"path": "bin/x"}]})")),
            "/hooks/prestart/0/path: must be an absolute path, found \"bin/x\"");
  EXPECT_EQ(error_of(with(R"("hooks": {"poststop": [{"path": "/x", "timeout": 0}]})")),
            "/hooks/poststop/0/timeout: must be at least 1, found 0");
  EXPECT_EQ(error_of(with(R"("hooks": {"poststart": [{"args": ["x"]}]})")),
            "/hooks/poststart/0/path: required");
}

TEST(ParseSpec, ChecksNamesOfTheMachine) {
  EXPECT_EQ(error_of(with(fmt::format("\"hostname\": \"{}\"", std::string(64, 'h')))), "no error");
  EXPECT_THAT(error_of(with(fmt::format("\"hostname\": \"{}\"", std::string(65, 'h')))),
              testing::StartsWith("/hostname: must have at most 64 bytes, found "));
  EXPECT_EQ(error_of(with(R"("annotations": {"": "x"})")),
            "/annotations: a name must not be empty");
}

TEST(ParseSpec, ChecksNamespaces) {
  EXPECT_EQ(
      linux_error(R"("namespaces": [{"type": "net"}])"),
      "/linux/namespaces/0/type: expected one of pid, network, mount, ipc, uts, user, cgroup, "
      "time, found \"net\"");
  EXPECT_EQ(linux_error(R"("namespaces": [{"type": "pid"}, {"type": "pid", "path": "/p"}])"),
            "/linux/namespaces: a type is given twice");
  EXPECT_EQ(linux_error(R"("namespaces": [{"type": "pid", "path": "proc/1/ns/pid"}])"),
            "/linux/namespaces/0/path: must be an absolute path, found \"proc/1/ns/pid\"");
  EXPECT_EQ(linux_error(R"("namespaces": [{"type": "pid", "path": ""}])"), "no error");
}

TEST(ParseSpec, ChecksIdMappings) {
  EXPECT_EQ(linux_error(R"("uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}])"),
            "/linux/uidMappings/0/size: must be between 1 and 4294967295, found 0");
  EXPECT_EQ(linux_error(R"("gidMappings": [{"containerID": 1, "hostID": 0, "size": 4294967295}])"),
            "/linux/gidMappings/0/size: goes past the last id");
  EXPECT_EQ(linux_error(R"("gidMappings": [{"containerID": 1, "size": 1}])"),
            "/linux/gidMappings/0/hostID: required");
}

TEST(ParseSpec, ChecksDevices) {
  EXPECT_EQ(linux_error(R"("devices": [{"type": "x", "path": "/d"}])"),
            "/linux/devices/0/type: expected one of c, b, u, p, found \"x\"");
  EXPECT_EQ(linux_error(R"("devices": [{"type": "c", "path": "d"}])"),
            "/linux/devices/0/path: must be an absolute path, found \"d\"");
  EXPECT_EQ(linux_error(R"("devices": [{"type": "c", "path": "/d", "major": 1}])"),
            "/linux/devices/0/minor: required");
  EXPECT_EQ(linux_error(R"("devices": [{"type": "c", "path": "/d", "major": -1, "minor": 0}])"),
            "/linux/devices/0/major: must be between 0 and 4095, found -1");
  EXPECT_EQ(linux_error(R"("devices": [{"type": "p", "path": "/d"}])"), "no error");
}

TEST(ParseSpec, ChecksSeccomp) {
  EXPECT_EQ(linux_error(R"("seccomp": {})"), "/linux/seccomp/defaultAction: required");
  EXPECT_THAT(linux_error(R"("seccomp": {"defaultAction": "ALLOW"})"),
              testing::StartsWith(
                  "/linux/seccomp/defaultAction: expected one of SCMP_ACT_ALLOW, SCMP_ACT_ERRNO"));
  const auto rule_error = [](std::string_view rule) {
    return linux_error(fmt::format(
        R"("seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{{}}}]}})", rule));
  };
  EXPECT_EQ(rule_error(R"("names": [], "action": "SCMP_ACT_KILL")"),
            "/linux/seccomp/syscalls/0/names: must have at least one entry");
  EXPECT_EQ(rule_error(R"("names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1)"),
            "/linux/seccomp/syscalls/0/errnoRet: only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE");
  EXPECT_EQ(rule_error(R"("names": ["read"], "action": "SCMP_ACT_KILL",
                          "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])"),
            "/linux/seccomp/syscalls/0/args/0/index: must be between 0 and 5, found 6");
  EXPECT_THAT(rule_error(R"("names": ["read"], "action": "SCMP_ACT_KILL",
                            "args": [{"index": 0, "value": 0, "op": "=="}])"),
              testing::StartsWith("/linux/seccomp/syscalls/0/args/0/op: expected one of SCMP_CMP"));
  const auto default_error = [](std::string_view members) {
    return linux_error(
        fmt::format(R"("seccomp": {{"defaultAction": "SCMP_ACT_ALLOW", {}}})", members));
  };
  EXPECT_EQ(default_error(R"("defaultErrnoRet": 1)"),
            "/linux/seccomp/defaultErrnoRet: only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE");
  EXPECT_EQ(default_error(R"("listenerMetadata": "m")"),
            "/linux/seccomp/listenerMetadata: needs listenerPath");
  EXPECT_THAT(default_error(R"("architectures": ["SCMP_ARCH_X86_64", "amd64"])"),
              testing::StartsWith("/linux/seccomp/architectures/1: expected one of"));
  EXPECT_THAT(default_error(R"("flags": ["NEW_LISTENER"])"),
              testing::StartsWith("/linux/seccomp/flags/0: expected one of"));
}

TEST(ParseSpec, ChecksSysctlNames) {
  for (const char* name : {"", ".net", "net.", "net..ipv4", "net/../kernel", "a b", "kernel/"}) {
    EXPECT_EQ(linux_error(fmt::format(R"("sysctl": {{"{}": "1"}})", name)),
              "/linux/sysctl: each name must be like net.ipv4.ip_forward")
        << name;
  }
  EXPECT_EQ(linux_error(R"("sysctl": {"net.ipv4.conf.eth0-1.rp_filter": "0"})"), "no error");
  EXPECT_EQ(linux_error(R"("sysctl": {"kernel.shmmax": 1})"),
            "/linux/sysctl/kernel.shmmax: expected a string, found 1");
}

TEST(ParseSpec, ChecksPathsAndWordsOfLinux) {
  EXPECT_EQ(linux_error(R"("cgroupsPath": "/a/../../b")"),
            "/linux/cgroupsPath: must not have a .. in it, found \"/a/../../b\"");
  EXPECT_EQ(linux_error(R"("cgroupsPath": "system.slice:docker:..x")"), "no error");
  EXPECT_EQ(linux_error(R"("maskedPaths": ["/proc/kcore", "proc/keys"])"),
            "/linux/maskedPaths/1: must be an absolute path, found \"proc/keys\"");
  EXPECT_EQ(linux_error(R"("readonlyPaths": [""])"),
            "/linux/readonlyPaths/0: must be an absolute path, found \"\"");
  EXPECT_EQ(linux_error(R"("rootfsPropagation": "rshared")"), "no error");
  EXPECT_THAT(linux_error(R"("rootfsPropagation": "public")"),
              testing::StartsWith("/linux/rootfsPropagation: expected one of private, rprivate"));
  EXPECT_EQ(linux_error(R"("personality": {"domain": "BSD"})"),
            "/linux/personality/domain: expected one of LINUX, LINUX32, found \"BSD\"");
  EXPECT_EQ(linux_error(R"("personality": {"domain": "LINUX", "flags": ["X"]})"),
            "/linux/personality/flags: no flags are defined");
  EXPECT_EQ(linux_error(R"("timeOffsets": {"realtime": {"secs": 1}})"),
            "/linux/timeOffsets: the clocks are monotonic and boottime");
  EXPECT_EQ(linux_error(R"("timeOffsets": {"boottime": {"nanosecs": 1000000000}})"),
            "/linux/timeOffsets/boottime/nanosecs: must be between 0 and 999999999, found "
            "1000000000");
  EXPECT_EQ(linux_error(R"("intelRdt": {"closID": "../x"})"),
            "/linux/intelRdt/closID: must be a file name, found \"../x\"");
}

TEST(ParseSpec, ChecksTheVm) {
  EXPECT_EQ(error_of(with(R"("vm": {})")), "/vm/kernel: required");
  EXPECT_EQ(error_of(with(R"("vm": {"kernel": {"path": "k"}})")),
            "/vm/kernel/path: must be an absolute path, found \"k\"");
  EXPECT_EQ(error_of(with(R"("vm": {"kernel": {"path": "/k"}, "image":
                {"path": "/i", "format": "iso"}})")),
            "/vm/image/format: expected one of raw, qcow2, vdi, vmdk, vhd, found \"iso\"");
}

}  // namespace
}  // namespace agentvm::oci
