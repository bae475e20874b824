// The driver against a bus of the test's own, on which the test plays systemd: what it is asked,
// and what becomes of its answers. Real sd-bus, real dbus-daemon.
#include "runtime/systemd_scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "oci/base/sys.h"
#include "runtime/host_cgroup.h"
#include "tests/temp_dir.h"

namespace agentvm::runtime {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kDaemon = "/usr/bin/dbus-daemon";
constexpr const char* kJob = "/org/freedesktop/systemd1/job/7";

// ---- the systemd that the test plays, in a child process ----

struct Manager {
  std::string log;     // where each call is written down
  std::string result;  // of each job
};

void note(const Manager& manager, const std::string& line) {
  std::ofstream(manager.log, std::ios::app) << line << "\n";
}

// The names and values of an a(sv), one "name=value" each.
std::string read_properties(sd_bus_message* message) {
  std::string text;
  sd_bus_message_enter_container(message, 'a', "(sv)");
  while (sd_bus_message_enter_container(message, 'r', "sv") > 0) {
    const char* name = nullptr;
    const char* type = nullptr;
    sd_bus_message_read(message, "s", &name);
    sd_bus_message_peek_type(message, nullptr, &type);
    text += std::string(" ") + name + "=";
    if (std::string(type) == "t") {
      std::uint64_t value = 0;
      sd_bus_message_read(message, "v", "t", &value);
      text += std::to_string(value);
    } else if (std::string(type) == "b") {
      int value = 0;
      sd_bus_message_read(message, "v", "b", &value);
      text += value != 0 ? "yes" : "no";
    } else if (std::string(type) == "s") {
      const char* value = nullptr;
      sd_bus_message_read(message, "v", "s", &value);
      text += value;
    } else {
      std::uint32_t value = 0;
      sd_bus_message_read(message, "v", "au", 1, &value);
      text += std::to_string(value);
    }
    sd_bus_message_exit_container(message);
  }
  return text;
}

int finish_job(sd_bus_message* message, const Manager& manager, const char* unit) {
  const int sent = sd_bus_emit_signal(sd_bus_message_get_bus(message), "/org/freedesktop/systemd1",
                                      "org.freedesktop.systemd1.Manager", "JobRemoved", "uoss", 7U,
                                      kJob, unit, manager.result.c_str());
  return sent < 0 ? sent : sd_bus_reply_method_return(message, "o", kJob);
}

int on_start(sd_bus_message* message, void* userdata, sd_bus_error* error) {
  const auto& manager = *static_cast<Manager*>(userdata);
  const char* unit = nullptr;
  const char* mode = nullptr;
  sd_bus_message_read(message, "ss", &unit, &mode);
  if (std::string(unit) == "taken.scope") {
    return sd_bus_error_set(error, "org.freedesktop.systemd1.UnitExists",
                            "Unit taken.scope already exists.");
  }
  note(manager, std::string("start ") + unit + " " + mode + read_properties(message));
  return finish_job(message, manager, unit);
}

int on_stop(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
  const auto& manager = *static_cast<Manager*>(userdata);
  const char* unit = nullptr;
  const char* mode = nullptr;
  sd_bus_message_read(message, "ss", &unit, &mode);
  note(manager, std::string("stop ") + unit);
  return finish_job(message, manager, unit);
}

int on_set(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
  const auto& manager = *static_cast<Manager*>(userdata);
  const char* unit = nullptr;
  int runtime = 0;
  sd_bus_message_read(message, "sb", &unit, &runtime);
  note(manager,
       std::string("set ") + unit + (runtime != 0 ? " runtime" : "") + read_properties(message));
  return sd_bus_reply_method_return(message, "");
}

int on_nothing(sd_bus_message* message, void* /*userdata*/, sd_bus_error* /*error*/) {
  return sd_bus_reply_method_return(message, "");
}

[[noreturn]] void play_systemd(const std::string& address, Manager manager, int ready) {
  static const sd_bus_vtable table[] = {
      SD_BUS_VTABLE_START(0),
      SD_BUS_METHOD("Subscribe", "", "", on_nothing, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", on_start,
                    SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("StopUnit", "ss", "o", on_stop, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("SetUnitProperties", "sba(sv)", "", on_set, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_METHOD("ResetFailedUnit", "s", "", on_nothing, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_VTABLE_END};
  ::setenv("DBUS_SYSTEM_BUS_ADDRESS", address.c_str(), 1);
  sd_bus* bus = nullptr;
  if (sd_bus_open_system(&bus) < 0 ||
      sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/systemd1",
                               "org.freedesktop.systemd1.Manager", table, &manager) < 0 ||
      sd_bus_request_name(bus, "org.freedesktop.systemd1", 0) < 0) {
    ::_exit(1);
  }
  static_cast<void>(!::write(ready, "x", 1));
  for (;;) {
    const int processed = sd_bus_process(bus, nullptr);
    if (processed < 0) ::_exit(1);
    if (processed == 0) sd_bus_wait(bus, UINT64_MAX);
  }
}

// ---- the tests ----

class SystemdScopeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(kDaemon, X_OK) != 0) GTEST_SKIP() << "needs dbus-daemon";
    const std::string config = temp_.write(
        "bus.conf",
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
        "\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">"
        "<busconfig><listen>unix:path=" +
            (temp_ / "bus") +
            "</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow "
            "send_destination=\"*\" "
            "eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow "
            "own=\"*\"/></policy></busconfig>");
    auto [ready, told] = *sys::pipe();
    daemon_ = ::fork();
    if (daemon_ == 0) {
      const std::string fd = "--print-address=3";
      ::dup2(told.get(), 3);
      ::execl(kDaemon, kDaemon, "--nofork", ("--config-file=" + config).c_str(), fd.c_str(),
              nullptr);
      ::_exit(127);
    }
    told.reset();
    char byte = 0;
    ASSERT_EQ(::read(ready.get(), &byte, 1), 1) << "the bus did not start";
    ::setenv("DBUS_SYSTEM_BUS_ADDRESS", address().c_str(), 1);
  }
  void TearDown() override {
    for (const pid_t pid : {systemd_, daemon_}) {
      if (pid <= 0) continue;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    ::unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  }

  std::string address() const { return "unix:path=" + (temp_ / "bus"); }
  void start_systemd(const std::string& result = "done") {
    auto [ready, told] = *sys::pipe();
    systemd_ = ::fork();
    if (systemd_ == 0) play_systemd(address(), {temp_ / "calls", result}, told.get());
    told.reset();
    char byte = 0;
    ASSERT_EQ(::read(ready.get(), &byte, 1), 1) << "the played systemd did not start";
  }
  std::string calls() const {
    std::stringstream text;
    text << std::ifstream(temp_ / "calls").rdbuf();
    return text.str();
  }
  static ScopeRequest request(const std::string& unit) {
    ScopeRequest request{.unit = unit,
                         .slice = "system.slice",
                         .description = "agentvm container web",
                         .first = 4711,
                         .limits = {},
                         .v2 = true};
    request.limits.memory = 1024;
    return request;
  }

  TempDir temp_;
  pid_t daemon_ = 0;
  pid_t systemd_ = 0;
};

TEST_F(SystemdScopeTest, StartsADelegatedScopeWithItsFirstProcessAndLimits) {
  start_systemd();
  auto started = start_scope(request("docker-web.scope"), 30s);
  ASSERT_TRUE(started) << started.error().text();
  EXPECT_EQ(calls(),
            "start docker-web.scope replace PIDs=4711 Description=agentvm container web "
            "Slice=system.slice Delegate=yes DefaultDependencies=no CPUAccounting=yes "
            "MemoryAccounting=yes TasksAccounting=yes IOAccounting=yes MemoryMax=1024 "
            "TasksMax=4096\n");
}

TEST_F(SystemdScopeTest, UpdatesAndStopsIt) {
  start_systemd();
  HostLimits limits;
  limits.pids.reset();
  ASSERT_TRUE(update_scope("docker-web.scope", limits, true, 30s)) << "nothing to tell";
  EXPECT_EQ(calls(), "");
  limits.cpu_shares = 2;
  auto updated = update_scope("docker-web.scope", limits, true, 30s);
  ASSERT_TRUE(updated) << updated.error().text();
  ASSERT_TRUE(stop_scope("docker-web.scope", 30s));
  EXPECT_EQ(calls(), "set docker-web.scope runtime CPUWeight=1\nstop docker-web.scope\n");
}

TEST_F(SystemdScopeTest, SaysWhatSystemdSays) {
  start_systemd("failed");
  auto started = start_scope(request("docker-web.scope"), 30s);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().text(), "start 'docker-web.scope': systemd's job ended as 'failed'");
  started = start_scope(request("taken.scope"), 30s);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, ErrorKind::already_exists);
  EXPECT_EQ(started.error().text(),
            "start 'taken.scope': systemd: Unit taken.scope already exists.");
}

TEST_F(SystemdScopeTest, SaysThatSystemdDoesNotRun) {
  auto started = start_scope(request("docker-web.scope"), 30s);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, ErrorKind::unavailable);
  EXPECT_THAT(started.error().text(),
              HasSubstr("--systemd-cgroup needs systemd, which does not answer on this host's "
                        "system bus"));
  ::setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + (temp_ / "none")).c_str(), 1);
  auto cgroup = HostCgroup::create({.container_id = "web",
                                    .cgroups_path = "system.slice:agentvm-test:web",
                                    .driver = CgroupDriver::systemd,
                                    .limits = {},
                                    .first = 0});
  ASSERT_FALSE(cgroup);
  EXPECT_THAT(cgroup.error().text(), HasSubstr("leave the flag out (Docker: native.cgroupdriver="
                                               "cgroupfs)"));
}

}  // namespace
}  // namespace agentvm::runtime
