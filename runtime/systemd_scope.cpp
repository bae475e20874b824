#include "runtime/systemd_scope.h"

#include <fmt/format.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "oci/base/try.h"
#include "runtime/scope_properties.h"

namespace agentvm::runtime {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr const char* kService = "org.freedesktop.systemd1";
constexpr const char* kPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";

struct Unref {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Bus = std::unique_ptr<sd_bus, Unref>;
using Message = std::unique_ptr<sd_bus_message, Unref>;
using Slot = std::unique_ptr<sd_bus_slot, Unref>;

// sd_bus_error with its end.
struct BusError {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  BusError() = default;
  BusError(const BusError&) = delete;
  BusError& operator=(const BusError&) = delete;
  ~BusError() { sd_bus_error_free(&error); }
  [[nodiscard]] bool is(const char* name) const { return sd_bus_error_has_name(&error, name) > 0; }
};

std::unexpected<Error> not_running(int errnum) {
  return fail(ErrorKind::unavailable,
              fmt::format("--systemd-cgroup needs systemd, which does not answer on this host's "
                          "system bus ({}); leave the flag out (Docker: native.cgroupdriver="
                          "cgroupfs)",
                          std::strerror(errnum)));
}

Result<Bus> connect(milliseconds deadline) {
  sd_bus* raw = nullptr;
  const int opened = sd_bus_open_system(&raw);
  if (opened < 0) return not_running(-opened);
  Bus bus(raw);
  const auto timeout = std::chrono::duration_cast<microseconds>(deadline);
  sd_bus_set_method_call_timeout(bus.get(), static_cast<std::uint64_t>(timeout.count()));
  return bus;
}

std::unexpected<Error> fail_call(std::string_view doing, int code, const BusError& error) {
  if (error.is(SD_BUS_ERROR_SERVICE_UNKNOWN) || error.is(SD_BUS_ERROR_NAME_HAS_NO_OWNER)) {
    return not_running(ESRCH);
  }
  const char* text = error.error.message != nullptr ? error.error.message : std::strerror(-code);
  const ErrorKind kind = error.is("org.freedesktop.systemd1.UnitExists") ? ErrorKind::already_exists
                                                                         : ErrorKind::unavailable;
  return fail(kind, fmt::format("{}: systemd: {}", doing, text));
}

Result<Message> new_call(const Bus& bus, const char* method) {
  sd_bus_message* raw = nullptr;
  const int made =
      sd_bus_message_new_method_call(bus.get(), &raw, kService, kPath, kManager, method);
  if (made < 0) return fail_errno(-made, "make a message to systemd");
  return Message(raw);
}

// One member of an a(sv).
int append_property(sd_bus_message* message, const ScopeProperty& property) {
  const char* name = property.name.c_str();
  if (const auto* number = std::get_if<std::uint64_t>(&property.value)) {
    return sd_bus_message_append(message, "(sv)", name, "t", *number);
  }
  if (const auto* flag = std::get_if<bool>(&property.value)) {
    return sd_bus_message_append(message, "(sv)", name, "b", *flag ? 1 : 0);
  }
  return sd_bus_message_append(message, "(sv)", name, "s",
                               std::get<std::string>(property.value).c_str());
}

int append_properties(sd_bus_message* message, const std::vector<ScopeProperty>& properties,
                      pid_t first) {
  int code = sd_bus_message_open_container(message, 'a', "(sv)");
  if (code >= 0 && first > 0) {
    code =
        sd_bus_message_append(message, "(sv)", "PIDs", "au", 1, static_cast<std::uint32_t>(first));
  }
  for (const ScopeProperty& property : properties) {
    if (code >= 0) code = append_property(message, property);
  }
  return code < 0 ? code : sd_bus_message_close_container(message);
}

// Jobs that systemd has finished, in the order of its signals.
struct Finished {
  std::string job;
  std::string result;
};

int on_job_removed(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
  std::uint32_t id = 0;
  const char* job = nullptr;
  const char* unit = nullptr;
  const char* result = nullptr;
  if (sd_bus_message_read(message, "uoss", &id, &job, &unit, &result) < 0) return 0;
  static_cast<std::vector<Finished>*>(userdata)->push_back({job, result});
  return 0;
}

// Signals are sent only to those who asked.
Result<Slot> watch_jobs(const Bus& bus, std::vector<Finished>& finished) {
  sd_bus_slot* raw = nullptr;
  int code = sd_bus_match_signal(bus.get(), &raw, kService, kPath, kManager, "JobRemoved",
                                 on_job_removed, &finished);
  if (code < 0) return fail_errno(-code, "watch systemd's jobs");
  Slot slot(raw);
  BusError error;
  code = sd_bus_call_method(bus.get(), kService, kPath, kManager, "Subscribe", &error.error,
                            nullptr, nullptr);
  if (code < 0 && !error.is("org.freedesktop.systemd1.AlreadySubscribed")) {
    return fail_call("watch its jobs", code, error);
  }
  return slot;
}

Result<std::string> wait_for_job(const Bus& bus, const std::string& job,
                                 const std::vector<Finished>& finished, milliseconds deadline) {
  const auto end = Clock::now() + deadline;
  for (;;) {
    const auto mine = std::ranges::find(finished, job, &Finished::job);
    if (mine != finished.end()) return mine->result;
    const int processed = sd_bus_process(bus.get(), nullptr);
    if (processed < 0) return fail_errno(-processed, "talk to systemd");
    if (processed > 0) continue;
    const auto left = std::chrono::ceil<microseconds>(end - Clock::now()).count();
    if (left <= 0) {
      return fail(ErrorKind::unavailable,
                  fmt::format("systemd did not finish the job within {} ms", deadline.count()));
    }
    const int waited = sd_bus_wait(bus.get(), static_cast<std::uint64_t>(left));
    if (waited < 0 && waited != -EINTR) return fail_errno(-waited, "wait for systemd");
  }
}

// A call that answers with a job's path, up to the job's end.
Result<void> run_job(const Bus& bus, const Message& call, const std::string& doing,
                     const std::vector<Finished>& finished, milliseconds deadline) {
  BusError error;
  sd_bus_message* raw = nullptr;
  const int code = sd_bus_call(bus.get(), call.get(), 0, &error.error, &raw);
  if (code < 0) return fail_call(doing, code, error);
  const Message reply(raw);
  const char* job = nullptr;
  const int read = sd_bus_message_read(reply.get(), "o", &job);
  if (read < 0) return fail_errno(-read, "read systemd's answer");
  const std::string result = TRY(wait_for_job(bus, job, finished, deadline), "{}", doing);
  if (result != "done") {
    return fail(ErrorKind::unavailable,
                fmt::format("{}: systemd's job ended as '{}'", doing, result));
  }
  return {};
}

}  // namespace

Result<void> start_scope(const ScopeRequest& request, milliseconds deadline) {
  const std::string doing = fmt::format("start '{}'", request.unit);
  const Bus bus = TRY(connect(deadline));
  std::vector<Finished> finished;
  const Slot slot = TRY(watch_jobs(bus, finished), "{}", doing);
  const Message call = TRY(new_call(bus, "StartTransientUnit"));
  int code = sd_bus_message_append(call.get(), "ss", request.unit.c_str(), "replace");
  if (code >= 0) {
    code = append_properties(
        call.get(),
        scope_properties(request.slice, request.description, request.limits, request.v2),
        request.first);
  }
  if (code >= 0) code = sd_bus_message_append(call.get(), "a(sa(sv))", 0);
  if (code < 0) return fail_errno(-code, "make a message to systemd");
  return run_job(bus, call, doing, finished, deadline);
}

Result<void> update_scope(const std::string& unit, const HostLimits& limits, bool v2,
                          milliseconds deadline) {
  const auto properties = limit_properties(limits, v2);
  if (properties.empty()) return {};
  const Bus bus = TRY(connect(deadline));
  const Message call = TRY(new_call(bus, "SetUnitProperties"));
  int code = sd_bus_message_append(call.get(), "sb", unit.c_str(), 1);  // 1: until the unit ends
  if (code >= 0) code = append_properties(call.get(), properties, 0);
  if (code < 0) return fail_errno(-code, "make a message to systemd");
  BusError error;
  code = sd_bus_call(bus.get(), call.get(), 0, &error.error, nullptr);
  if (code < 0) return fail_call(fmt::format("update '{}'", unit), code, error);
  return {};
}

Result<void> stop_scope(const std::string& unit, milliseconds deadline) {
  const std::string doing = fmt::format("stop '{}'", unit);
  const Bus bus = TRY(connect(deadline));
  std::vector<Finished> finished;
  const Slot slot = TRY(watch_jobs(bus, finished), "{}", doing);
  const Message call = TRY(new_call(bus, "StopUnit"));
  const int code = sd_bus_message_append(call.get(), "ss", unit.c_str(), "replace");
  if (code < 0) return fail_errno(-code, "make a message to systemd");
  // A scope whose last process has gone may be gone itself: then there is nothing to do.
  static_cast<void>(run_job(bus, call, doing, finished, deadline));
  sd_bus_call_method(bus.get(), kService, kPath, kManager, "ResetFailedUnit", nullptr, nullptr, "s",
                     unit.c_str());
  return {};
}

}  // namespace agentvm::runtime
