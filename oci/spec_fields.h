// The members of config.json, one list per struct (json_fields.h): config.md and config-vm.md here,
// config-linux.md in spec_fields_linux.h. Included by the parser and the writer only.
#pragma once

#include "oci/base/json_fields.h"
#include "oci/spec.h"
#include "oci/spec_checks.h"
#include "oci/spec_fields_linux.h"
#include "oci/spec_words.h"

namespace agentvm::oci {

// ---- process ----

void json_fields(auto& io, Like<ConsoleSize> auto& size) {
  io.required("height", size.height);
  io.required("width", size.width);
}

void json_fields(auto& io, Like<User> auto& user) {
  io.defaulted("uid", user.uid);
  io.defaulted("gid", user.gid);
  io.optional("umask", user.umask, check::Between{0, 0777});
  io.optional("additionalGids", user.additional_gids);
}

void json_fields(auto& io, Like<Capabilities> auto& caps) {
  const auto set = [&io](std::string_view key, auto& names) {
    io.optional(key, names);
    io.known_only(key, names,
                  [](const std::string& name) { return is_word(capability_names(), name); });
  };
  set("bounding", caps.bounding);
  set("effective", caps.effective);
  set("inheritable", caps.inheritable);
  set("permitted", caps.permitted);
  set("ambient", caps.ambient);
}

void json_fields(auto& io, Like<Rlimit> auto& limit) {
  io.required("type", limit.type, check::OneOf{rlimit_names()});
  io.required("hard", limit.hard);
  io.required("soft", limit.soft);
  io.ensure(limit.soft <= limit.hard, "soft", "must not be above hard");
}

void json_fields(auto& io, Like<Scheduler> auto& scheduler) {
  io.required("policy", scheduler.policy, check::OneOf{scheduler_policies()});
  io.optional("nice", scheduler.nice, check::Between{-20, 19});
  io.optional("priority", scheduler.priority, check::Between{0, 99});
  io.optional("flags", scheduler.flags, check::OneOf{scheduler_flags()});
  io.optional("runtime", scheduler.runtime);
  io.optional("deadline", scheduler.deadline);
  io.optional("period", scheduler.period);
  const bool real_time = scheduler.policy == "SCHED_FIFO" || scheduler.policy == "SCHED_RR";
  io.ensure(real_time || scheduler.priority.value_or(0) == 0, "priority",
            "only for SCHED_FIFO and SCHED_RR");
  const bool timed = scheduler.runtime || scheduler.deadline || scheduler.period;
  io.ensure(!timed || scheduler.policy == "SCHED_DEADLINE", "policy",
            "runtime, deadline and period are only for SCHED_DEADLINE");
}

void json_fields(auto& io, Like<IoPriority> auto& priority) {
  io.required("class", priority.io_class, check::OneOf{io_priority_classes()});
  io.defaulted("priority", priority.priority, check::Between{0, 7});
}

void json_fields(auto& io, Like<ExecCpuAffinity> auto& affinity) {
  io.optional("initial", affinity.initial, check::cpu_list);
  io.optional("final", affinity.final_, check::cpu_list);
}

inline bool has_duplicate_type(const std::vector<Rlimit>& limits) {
  std::vector<std::string_view> types;
  for (const Rlimit& limit : limits) {
    if (is_word(types, limit.type)) return true;
    types.emplace_back(limit.type);
  }
  return false;
}

void json_fields(auto& io, Like<Process> auto& process) {
  io.optional("terminal", process.terminal);
  io.optional("consoleSize", process.console_size);
  io.defaulted("user", process.user);
  io.required("args", process.args, check::at_least_one);
  io.optional("env", process.env, check::environment);
  io.required("cwd", process.cwd, check::absolute_path);
  io.optional("capabilities", process.capabilities);
  io.optional("rlimits", process.rlimits);
  io.ensure(!has_duplicate_type(process.rlimits), "rlimits", "a type is given twice");
  io.optional("noNewPrivileges", process.no_new_privileges);
  io.optional("apparmorProfile", process.apparmor_profile);
  io.optional("selinuxLabel", process.selinux_label);
  io.optional("oomScoreAdj", process.oom_score_adj, check::Between{-1000, 1000});
  io.optional("scheduler", process.scheduler);
  io.optional("ioPriority", process.io_priority);
  io.optional("execCPUAffinity", process.exec_cpu_affinity);
}

// ---- the rest of config.md ----

void json_fields(auto& io, Like<Root> auto& root) {
  io.required("path", root.path, check::not_empty);
  io.optional("readonly", root.readonly);
}

void json_fields(auto& io, Like<Mount> auto& mount) {
  io.required("destination", mount.destination, check::not_empty);
  io.optional("type", mount.type);
  io.optional("source", mount.source);
  io.optional("options", mount.options);
  io.optional("uidMappings", mount.uid_mappings);
  io.optional("gidMappings", mount.gid_mappings);
  io.ensure(mount.uid_mappings.empty() == mount.gid_mappings.empty(), "uidMappings",
            "needs gidMappings and the other way round");
}

void json_fields(auto& io, Like<Hook> auto& hook) {
  io.required("path", hook.path, check::absolute_path);
  io.optional("args", hook.args);
  io.optional("env", hook.env, check::environment);
  io.optional("timeout", hook.timeout_s,
              check::Between{1, std::numeric_limits<std::int64_t>::max()});
}

void json_fields(auto& io, Like<Hooks> auto& hooks) {
  io.optional("prestart", hooks.prestart);
  io.optional("createRuntime", hooks.create_runtime);
  io.optional("createContainer", hooks.create_container);
  io.optional("startContainer", hooks.start_container);
  io.optional("poststart", hooks.poststart);
  io.optional("poststop", hooks.poststop);
}

void json_fields(auto& io, Like<Vm> auto& vm) {
  io.object("hypervisor", !vm.hypervisor_path.empty(), [&vm](auto& hypervisor) {
    hypervisor.required("path", vm.hypervisor_path, check::absolute_path);
    hypervisor.optional("parameters", vm.hypervisor_parameters);
  });
  io.object("kernel", !vm.kernel_path.empty(), [&vm](auto& kernel) {
    kernel.required("path", vm.kernel_path, check::absolute_path);
    kernel.optional("parameters", vm.kernel_parameters);
    kernel.optional("initrd", vm.kernel_initrd, check::absolute_path);
  });
  io.object("image", !vm.image_path.empty(), [&vm](auto& image) {
    image.required("path", vm.image_path, check::absolute_path);
    image.required("format", vm.image_format, check::OneOf{image_formats()});
  });
  io.ensure(!vm.kernel_path.empty(), "kernel", "required");
}

void json_fields(auto& io, Like<Spec> auto& spec) {
  io.required("ociVersion", spec.oci_version);
  io.optional("process", spec.process);
  io.required("root", spec.root);
  io.optional("hostname", spec.hostname, check::host_name);
  io.optional("domainname", spec.domainname, check::host_name);
  io.optional("mounts", spec.mounts);
  io.optional("hooks", spec.hooks);
  io.optional("annotations", spec.annotations, check::annotation_names);
  io.optional("linux", spec.linux_);
  io.optional("vm", spec.vm);
}

}  // namespace agentvm::oci
