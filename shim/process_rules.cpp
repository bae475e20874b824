#include "shim/process_rules.h"

#include <fmt/format.h>
#include <sys/wait.h>

namespace agentvm::shim {

namespace {

std::unexpected<Error> refuse(std::string text) {
  return fail(ErrorKind::failed_precondition, std::move(text));
}

std::unexpected<Error> refuse_in(std::string_view doing, ProcessStatus status, bool exec) {
  return refuse(
      fmt::format("cannot {} a {} {}", doing, name_of(status), exec ? "process" : "container"));
}

Result<void> allow_kill(ProcessStatus status, bool exec) {
  if (status == ProcessStatus::stopped) {
    return fail(ErrorKind::not_found, "process already finished");
  }
  // Nothing of an exec exists before its start; the init does.
  if (status == ProcessStatus::created && exec) return refuse("process is not running");
  return {};
}

}  // namespace

Result<void> allow(ProcessStatus status, Request request, bool exec) {
  const bool live = status == ProcessStatus::running || status == ProcessStatus::paused;
  switch (request) {
    case Request::start:
      if (status == ProcessStatus::created) return {};
      return refuse_in("start", status, exec);
    case Request::kill:
      return allow_kill(status, exec);
    case Request::remove:
      if (!live) return {};
      return refuse_in("delete", status, exec);
    case Request::exec:
      if (status == ProcessStatus::created || status == ProcessStatus::running) return {};
      return refuse_in("exec in", status, exec);
    case Request::pause:
      if (status == ProcessStatus::running) return {};
      return refuse_in("pause", status, exec);
    case Request::resume:
      if (status == ProcessStatus::paused) return {};
      return refuse_in("resume", status, exec);
    case Request::update:
      if (status != ProcessStatus::stopped) return {};
      return refuse_in("update", status, exec);
    case Request::inspect:
      if (status != ProcessStatus::stopped) return {};
      return refuse("container not running");
  }
  return refuse("unknown request");
}

std::string_view name_of(ProcessStatus status) {
  switch (status) {
    case ProcessStatus::created:
      return "created";
    case ProcessStatus::running:
      return "running";
    case ProcessStatus::paused:
      return "paused";
    case ProcessStatus::stopped:
      return "stopped";
  }
  return "unknown";
}

std::uint32_t exit_status_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128U + static_cast<std::uint32_t>(WTERMSIG(wait_status))
                                  : static_cast<std::uint32_t>(WEXITSTATUS(wait_status));
}

}  // namespace agentvm::shim
