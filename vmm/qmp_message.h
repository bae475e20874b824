// What QEMU says on its QMP socket, one JSON object a line (QEMU's docs/interop/qmp-spec). QEMU may
// be in the guest's hands: this is a door for untrusted bytes, with limits and a fuzz target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "oci/base/error.h"

namespace agentvm::vmm {

// Longer than any answer to a command that we send.
inline constexpr std::size_t kQmpLineLimit = std::size_t{256} << 10;

struct QmpGreeting {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t micro = 0;
  friend bool operator==(const QmpGreeting&, const QmpGreeting&) = default;
};

// The events that mean something to us; the others are `other`.
enum class QmpEventKind : std::uint8_t {
  shutdown,
  reset,
  stop,
  resume,
  powerdown,
  guest_panicked,
  device_deleted,
  device_unplug_guest_error,
  migration,
  block_io_error,
  other,
};

struct QmpEvent {
  QmpEventKind kind = QmpEventKind::other;
  std::string name;    // as QEMU calls it: "SHUTDOWN"
  std::string device;  // device_deleted, device_unplug_guest_error: the device's id
  // shutdown, reset: why; migration: the status; block_io_error: strerror(3) of the host's error
  std::string reason;
  friend bool operator==(const QmpEvent&, const QmpEvent&) = default;
};

// RunState of QEMU's qapi/run-state.json.
enum class QmpRunState : std::uint8_t {
  running,
  paused,
  prelaunch,
  inmigrate,
  postmigrate,
  shutdown,
  guest_panicked,
  internal_error,
  other,
};

// A place for vCPUs, as query-hotpluggable-cpus tells of it.
struct QmpCpuPlace {
  std::string driver;
  std::uint64_t vcpus = 0;
  bool taken = false;
  std::vector<std::pair<std::string, std::int64_t>> address;  // device_add's properties for it
  friend bool operator==(const QmpCpuPlace&, const QmpCpuPlace&) = default;
};

struct QmpReply {
  std::uint64_t id = 0;
  // The error's description; nothing on success.
  std::optional<std::string> error;
  // query-status alone gives one.
  std::optional<QmpRunState> run_state;
  // query-hotpluggable-cpus alone gives some.
  std::vector<QmpCpuPlace> cpu_places = {};
  friend bool operator==(const QmpReply&, const QmpReply&) = default;
};

using QmpMessage = std::variant<QmpGreeting, QmpEvent, QmpReply>;

// `line` without its line end. invalid_argument for anything else than the three above.
[[nodiscard]] Result<QmpMessage> parse_qmp_message(std::string_view line);

}  // namespace agentvm::vmm
