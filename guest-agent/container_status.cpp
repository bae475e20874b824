#include "guest-agent/container_status.h"

#include <fmt/format.h>

namespace agentvm::guest {

namespace {

using Status = ContainerStatus;
using Outcome = Result<ContainerStatus>;

Outcome refuse(std::string_view why) {
  return fail(ErrorKind::failed_precondition, std::string(why));
}

Outcome start_from(Status from) {
  switch (from) {
    case Status::created:
      return Status::running;
    case Status::running:
    case Status::paused:
      return refuse("cannot start an already running container");
    case Status::stopped:
    case Status::deleting:
      return refuse("cannot start a container that has stopped");
    case Status::creating:
      break;
  }
  return refuse("cannot start a container that is being created");
}

Outcome pause_from(Status from) {
  switch (from) {
    case Status::running:
      return Status::paused;
    case Status::created:
    case Status::paused:
    case Status::stopped:
    case Status::deleting:
    case Status::creating:
      break;
  }
  return refuse(fmt::format("container not running: {}", name_of(from)));
}

Outcome exec_in(Status from) {
  switch (from) {
    case Status::created:
    case Status::running:
      return from;
    case Status::paused:
      return refuse("cannot exec in a paused container");
    case Status::stopped:
    case Status::deleting:
      return refuse("cannot exec in a stopped container");
    case Status::creating:
      break;
  }
  return refuse("cannot exec in a container that is being created");
}

Outcome update_in(Status from) {
  switch (from) {
    case Status::created:
    case Status::running:
    case Status::paused:
      return from;
    case Status::creating:
    case Status::stopped:
    case Status::deleting:
      break;
  }
  return refuse("container not running");
}

Outcome erase_from(Status from) {
  switch (from) {
    case Status::created:
    case Status::running:
    case Status::paused:
    case Status::stopped:
      return Status::deleting;
    case Status::creating:
      return refuse("the container is being created");
    case Status::deleting:
      break;
  }
  return refuse("the container is being deleted");
}

}  // namespace

std::string_view name_of(ContainerStatus status) {
  switch (status) {
    case Status::creating:
      return "creating";
    case Status::created:
      return "created";
    case Status::running:
      return "running";
    case Status::paused:
      return "paused";
    case Status::stopped:
      return "stopped";
    case Status::deleting:
      return "deleting";
  }
  return "unknown";
}

Result<ContainerStatus> next_status(ContainerStatus from, ContainerEvent event) {
  switch (event) {
    case ContainerEvent::created:
      if (from == Status::creating) return Status::created;
      return refuse(fmt::format("a {} container cannot be created", name_of(from)));
    case ContainerEvent::start:
      return start_from(from);
    case ContainerEvent::pause:
      return pause_from(from);
    case ContainerEvent::resume:
      if (from == Status::paused) return Status::running;
      return refuse("container not paused");
    case ContainerEvent::exec:
      return exec_in(from);
    case ContainerEvent::update:
      return update_in(from);
    case ContainerEvent::exit:
      // A container that dies while it is built or taken apart keeps the status of that work.
      if (from == Status::creating || from == Status::deleting) return from;
      return Status::stopped;
    case ContainerEvent::erase:
      return erase_from(from);
  }
  return refuse("unknown event");
}

}  // namespace agentvm::guest
