#include "oci/state.h"

#include <fmt/format.h>

#include <array>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"

namespace agentvm::oci {

namespace {

constexpr std::array kStatusWords = std::to_array<JsonWord<Status>>({
    {"creating", Status::creating},
    {"created", Status::created},
    {"running", Status::running},
    {"paused", Status::paused},
    {"stopped", Status::stopped},
});

std::unexpected<Error> refuse(std::string text) {
  return fail(ErrorKind::failed_precondition, std::move(text));
}

Result<Status> start_from(Status from) {
  switch (from) {
    case Status::created:
      return Status::running;
    case Status::running:
      return refuse("cannot start an already running container");
    case Status::stopped:
      return refuse("cannot start a container that has stopped");
    case Status::creating:
    case Status::paused:
      return refuse(fmt::format("cannot start a container in the {} state", name_of(from)));
  }
  return refuse("cannot start a container in an unknown state");
}

Result<Status> exec_in(Status from) {
  switch (from) {
    case Status::created:
    case Status::running:
      return from;
    case Status::paused:
      return refuse("cannot exec in a paused container (use --ignore-paused to override)");
    case Status::stopped:
      return refuse("cannot exec in a stopped container");
    case Status::creating:
      return refuse("container not running");
  }
  return refuse("container not running");
}

Result<Status> pause_from(Status from) {
  switch (from) {
    case Status::running:
      return Status::paused;
    // runc pauses a created container too, and forgets with it that it was never started.
    case Status::creating:
    case Status::created:
    case Status::paused:
    case Status::stopped:
      break;
  }
  return refuse("container not running");
}

Result<Status> kill_in(Status from) {
  switch (from) {
    case Status::created:
    case Status::running:
    case Status::paused:
      return from;
    case Status::creating:
    case Status::stopped:
      break;
  }
  return refuse("container not running");
}

Result<Status> remove_from(Status from, std::string_view id) {
  switch (from) {
    case Status::created:  // as runc: nothing of the user's ran yet
    case Status::stopped:
      return Status::stopped;
    case Status::creating:
    case Status::running:
    case Status::paused:
      break;
  }
  return refuse(
      fmt::format("cannot delete container {} that is not stopped: {}", id, name_of(from)));
}

}  // namespace

std::span<const JsonWord<Status>> json_words(Status) {
  return kStatusWords;
}

std::string_view name_of(Status status) {
  for (const auto& [word, value] : kStatusWords) {
    if (value == status) return word;
  }
  return "unknown";
}

// In the order in which runc prints them.
void json_fields(auto& io, Like<State> auto& state) {
  io.required("ociVersion", state.oci_version);
  io.required("id", state.id);
  io.defaulted("pid", state.pid);
  io.required("status", state.status);
  io.required("bundle", state.bundle);
  io.optional("rootfs", state.rootfs);
  io.optional("created", state.created);
  io.optional("annotations", state.annotations);
  io.optional("owner", state.owner);
}

std::string write_state(const State& state, int indent) {
  return write_json(state, indent);
}
Result<State> parse_state(std::string_view json) {
  return parse_json<State>(json);
}

Result<Status> next_status(Status from, Event event, std::string_view id) {
  switch (event) {
    case Event::create_done:
      if (from == Status::creating) return Status::created;
      return refuse(fmt::format("container {} is already {}", id, name_of(from)));
    case Event::start:
      return start_from(from);
    case Event::exec:
      return exec_in(from);
    case Event::pause:
      return pause_from(from);
    case Event::resume:
      if (from == Status::paused) return Status::running;
      return refuse("container not paused");
    case Event::kill:
      return kill_in(from);
    case Event::remove:
      return remove_from(from, id);
    case Event::exited:
      return Status::stopped;
  }
  return refuse("unknown event");
}

}  // namespace agentvm::oci
