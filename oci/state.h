// A container's state (runtime-spec, runtime.md): the document that `state` prints and that hooks
// read on stdin, and the law of which event may follow which status.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/json_fields.h"

namespace agentvm::oci {

// The specification's, plus runc's `paused`.
enum class Status : std::uint8_t { creating, created, running, paused, stopped };

[[nodiscard]] std::span<const JsonWord<Status>> json_words(Status);
[[nodiscard]] std::string_view name_of(Status status);

struct State {
  std::string oci_version;
  std::string id;
  Status status = Status::creating;
  std::int32_t pid = 0;  // host pid of the stand-in; 0 when there is none
  std::string bundle;    // absolute
  std::map<std::string, std::string> annotations;
  // runc's additions; left out of the document when empty.
  std::string rootfs;   // absolute
  std::string created;  // RFC 3339, UTC
  std::string owner;    // user name
  friend bool operator==(const State&, const State&) = default;
};

// indent 2 is what `state` prints; 0 what a hook is given.
[[nodiscard]] std::string write_state(const State& state, int indent = 0);
[[nodiscard]] Result<State> parse_state(std::string_view json);

enum class Event : std::uint8_t {
  create_done,  // the environment stands, the user's process waits
  start,
  exec,
  pause,
  resume,
  kill,
  remove,  // delete without --force
  exited,  // the init process is gone
};

// The status after `event`, or failed_precondition in runc's words, which containerd and Docker
// match on ("container not running"). `id` only names the container in an error. kill and exec do
// not change the status: the exit that may follow is an event of its own. remove ends in stopped.
[[nodiscard]] Result<Status> next_status(Status from, Event event, std::string_view id);

}  // namespace agentvm::oci
