#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "runtime/guest_spec.h"
#include "tests/runtime/sample_spec.h"

namespace agentvm::runtime {
namespace {

using oci::NamespaceType;

// What is said about the sample with one change.
std::string verdict(const std::function<void(oci::Spec&)>& change,
                    const Config& config = make_default_config()) {
  oci::Spec spec = make_sample_spec();
  change(spec);
  auto checked = check_supported(spec, config);
  if (checked) return "supported";
  EXPECT_EQ(checked.error().kind, ErrorKind::invalid_argument);
  return checked.error().text();
}

std::string without(NamespaceType type) {
  return verdict([type](oci::Spec& spec) {
    std::erase_if(spec.linux_->namespaces, [type](const auto& ns) { return ns.type == type; });
  });
}

std::string with_path(NamespaceType type) {
  return verdict([type](oci::Spec& spec) {
    std::erase_if(spec.linux_->namespaces, [type](const auto& ns) { return ns.type == type; });
    spec.linux_->namespaces.push_back({type, "/proc/7/ns/x"});
  });
}

std::string mount(const std::string& type, std::vector<std::string> options) {
  return verdict([&](oci::Spec& spec) {
    spec.mounts.push_back({"/data", type, "/srv/data", std::move(options), {}, {}});
  });
}

TEST(CheckSupported, LetsAnOrdinaryContainerPass) {
  EXPECT_EQ(verdict([](oci::Spec&) {}), "supported");
  EXPECT_EQ(
      verdict([](oci::Spec& spec) {
        for (const auto type : {NamespaceType::user, NamespaceType::cgroup, NamespaceType::time}) {
          spec.linux_->namespaces.push_back({type, ""});
        }
        spec.process->apparmor_profile = "docker-default";
        spec.hooks.prestart.push_back({"/bin/hook", {}, {}, {}});
      }),
      "supported");
}

TEST(CheckSupported, RefusesNamespacesOfTheHostAndSaysWhatToDo) {
  EXPECT_EQ(without(NamespaceType::network),
            "/linux/namespaces: no 'network': the host's network (--network host) cannot be shared "
            "with a VM: give the container a network of its own and publish the ports it needs");
  EXPECT_EQ(without(NamespaceType::pid),
            "/linux/namespaces: no 'pid': the host's processes (--pid host) cannot be seen from a "
            "VM: give the container a pid namespace");
  EXPECT_EQ(
      without(NamespaceType::ipc),
      "/linux/namespaces: no 'ipc': the host's IPC objects (--ipc host) cannot be shared with "
      "a VM: give the container an ipc namespace");
  EXPECT_EQ(without(NamespaceType::uts),
            "/linux/namespaces: no 'uts': the host's hostname (--uts host) cannot be shared with a "
            "VM: give the container a uts namespace");
  EXPECT_EQ(without(NamespaceType::mount),
            "/linux/namespaces: no 'mount': the host's mounts cannot be shared with a VM: give the "
            "container a mount namespace");
}

TEST(CheckSupported, RefusesToJoinNamespacesOfTheHostExceptANetwork) {
  for (const auto& [type, name] : {std::pair{NamespaceType::pid, "pid"},
                                   {NamespaceType::ipc, "ipc"},
                                   {NamespaceType::uts, "uts"},
                                   {NamespaceType::mount, "mount"},
                                   {NamespaceType::user, "user"},
                                   {NamespaceType::cgroup, "cgroup"},
                                   {NamespaceType::time, "time"}}) {
    EXPECT_EQ(with_path(type), std::string("/linux/namespaces: '") + name +
                                   "' with path '/proc/7/ns/x': a VM cannot join a namespace of "
                                   "this host; leave the path out");
  }
  EXPECT_EQ(with_path(NamespaceType::network), "supported");
}

TEST(CheckSupported, RefusesDevicesOfTheHostButNotOnesThatTheGuestHas) {
  const auto device = [](const std::string& type, std::int64_t major, std::int64_t minor) {
    return verdict([&](oci::Spec& spec) {
      spec.linux_->devices.push_back({type, "/dev/x", major, minor, {}, {}, {}});
    });
  };
  EXPECT_EQ(device("c", 10, 229), "supported");  // fuse
  EXPECT_EQ(device("c", 10, 200), "supported");  // net/tun
  EXPECT_EQ(device("u", 1, 3), "supported");
  EXPECT_EQ(device("p", 0, 0), "supported");
  EXPECT_EQ(device("b", 8, 0),
            "/linux/devices: '/dev/x' (b 8:0) is a device of this host, which a VM does not have; "
            "leave it out (--device)");
  EXPECT_NE(device("b", 1, 3), "supported");  // a block device with the numbers of null
}

TEST(CheckSupported, LetsAPrivilegedContainerPassThatNamesEveryDevice) {
  EXPECT_EQ(verdict([](oci::Spec& spec) {
              spec.linux_->resources = oci::Resources{};
              spec.linux_->resources->devices = {{false, "a", {}, {}, "rwm"},
                                                 {true, "a", {}, {}, "rwm"}};
              spec.linux_->devices.push_back({"b", "/dev/sda", 8, 0, {}, {}, {}});
            }),
            "supported");
  EXPECT_NE(verdict([](oci::Spec& spec) {
              spec.linux_->resources = oci::Resources{};
              spec.linux_->resources->devices = {{true, "a", {}, {}, "rwm"},
                                                 {false, "b", {}, {}, "w"}};
              spec.linux_->devices.push_back({"b", "/dev/sda", 8, 0, {}, {}, {}});
            }),
            "supported");
}

TEST(CheckSupported, RefusesMountsThatNeedTheHost) {
  EXPECT_EQ(mount("bind", {"rbind", "rslave"}), "supported");
  EXPECT_EQ(mount("", {"bind", "ro"}), "supported");
  EXPECT_EQ(mount("tmpfs", {"shared"}), "supported");
  EXPECT_EQ(mount("ext4", {}),
            "mount '/data': file system 'ext4' cannot be mounted from inside a VM; mount it on the "
            "host and bind it");
  EXPECT_EQ(mount("bind", {"rbind", "rshared"}),
            "mount '/data': propagation 'shared' would show the container's mounts on the host, "
            "which a VM cannot; use rslave or rprivate");
}

TEST(CheckSupported, RefusesWhatWorksOnTheHostsKernelOnly) {
  EXPECT_EQ(verdict([](oci::Spec& spec) {
              spec.linux_->seccomp = oci::Seccomp{};
              spec.linux_->seccomp->listener_path = "/run/agent.sock";
            }),
            "/linux/seccomp/listenerPath: an agent on the host cannot answer for system calls of "
            "another kernel; leave it out");
  EXPECT_EQ(
      verdict([](oci::Spec& spec) { spec.linux_->intel_rdt = oci::IntelRdt{}; }),
      "/linux/intelRdt: cache and memory bandwidth classes are not set for VMs; leave it out");
  EXPECT_EQ(verdict([](oci::Spec& spec) { spec.linux_.reset(); }),
            "/linux is missing: agentvm runs Linux containers");
  EXPECT_EQ(verdict([](oci::Spec& spec) { spec.root.reset(); }),
            "/root is missing: there is no root file system to share");
}

TEST(CheckSupported, RefusesAnnotationsThatTheConfigurationDoesNotList) {
  const auto annotate = [](oci::Spec& spec) { spec.annotations["io.agentvm.vcpus"] = "2"; };
  EXPECT_EQ(verdict(annotate),
            "annotation 'io.agentvm.vcpus' is not allowed on this host: add it to "
            "security.allowed_annotations in /etc/agentvm/config.toml");
  Config config = make_default_config();
  config.security.allowed_annotations = {"io.agentvm.vcpus", "io.agentvm.new"};
  EXPECT_EQ(verdict(annotate, config), "supported");
  EXPECT_EQ(verdict([](oci::Spec& spec) { spec.annotations["io.agentvm.new"] = ""; }, config),
            "annotation 'io.agentvm.new' is none that agentvm knows");
  EXPECT_EQ(verdict([](oci::Spec& spec) { spec.annotations["org.example"] = ""; }), "supported");
}

TEST(CheckSupported, RefusesAVmSectionUnlessAllowed) {
  const auto choose = [](oci::Spec& spec) {
    spec.vm = oci::Vm{};
    spec.vm->kernel_path = "/boot/vmlinux";
  };
  EXPECT_EQ(verdict(choose),
            "the bundle's \"vm\" section is not allowed on this host: leave it out, or set "
            "security.allow_vm_section in /etc/agentvm/config.toml");
  Config config = make_default_config();
  config.security.allow_vm_section = true;
  EXPECT_EQ(verdict(choose, config), "supported");
  EXPECT_EQ(verdict(
                [](oci::Spec& spec) {
                  spec.vm = oci::Vm{};
                  spec.vm->hypervisor_parameters = {"-s"};
                },
                config),
            "/vm/hypervisor/parameters: agentvm builds QEMU's command line itself; leave them out");
  EXPECT_EQ(verdict(
                [](oci::Spec& spec) {
                  spec.vm = oci::Vm{};
                  spec.vm->image_path = "/i";
                },
                config),
            "/vm/image: the container's root is the bundle's root.path; leave the image out");
}

}  // namespace
}  // namespace agentvm::runtime
