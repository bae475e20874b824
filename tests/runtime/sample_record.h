// A record with something in every member.
#pragma once

#include <string>

#include "runtime/record.h"

namespace agentvm::runtime {

inline ContainerRecord make_sample_record(const std::string& id) {
  ContainerRecord record;
  record.id = id;
  record.oci_version = "1.2.0";
  record.bundle = "/bundles/" + id;
  record.rootfs = "/bundles/" + id + "/rootfs";
  record.annotations = {{"a", "b"}};
  record.created = "2026-01-02T03:04:05.000000006Z";
  record.owner = "root";
  record.config_path = "/etc/agentvm/config.toml";
  record.status = Status::running;
  record.creator = {.pid = 4241, .start_time = 7};
  record.monitor = {.pid = 4242, .start_time = 8};
  record.init_exit = InitExit{.code = 0, .signal = 9};
  record.cgroup.unit = "docker-web.scope";
  record.cgroup.dirs = {{.hierarchy = "/sys/fs/cgroup/memory",
                         .path = "/docker/" + id,
                         .v2 = true,
                         .controllers = {"memory"},
                         .made_parents = {"/docker"}}};
  record.vm = {.vcpus = 2, .memory_mib = 640, .accelerator = "tcg", .kernel = "/boot/vmlinux"};
  record.membership = Membership{.sandbox = "pod",
                                 .monitor = {.pid = 4244, .start_time = 10},
                                 .demand = {.cpu_millis = 500, .memory_mib = 256}};
  record.pod_shm = "/run/pod/shm";
  record.disk = DiskRecord{.path = "/layers/1/agentvm-disk.img", .size_mib = 64, .lasting = true};
  record.egress = EgressRecord{.sandbox = "claude-web",
                               .control_socket = "/run/agentvm-sandboxes/claude-web/control.sock",
                               .forwarded_ipv4 = true,
                               .forwarded_ipv6 = true};
  record.execs = {{.id = "e1", .stand_in = {.pid = 4243, .start_time = 9}}};
  record.poststart_hooks = {{.path = "/bin/a", .args = {"a", "b"}, .env = {"X=1"}, .timeout_s = 3}};
  record.poststop_hooks = {{.path = "/bin/b", .args = {}, .env = {}, .timeout_s = {}}};
  return record;
}

}  // namespace agentvm::runtime
