#include "oci/state.h"

#include <gtest/gtest.h>

namespace agentvm::oci {
namespace {

constexpr Status kAll[] = {Status::creating, Status::created, Status::running, Status::paused,
                           Status::stopped};

// "" where `event` is allowed, and the status after it in `to`.
std::string step(Status from, Event event, Status& to) {
  const auto next = next_status(from, event, "web");
  if (next) {
    to = *next;
    return "";
  }
  EXPECT_EQ(next.error().kind, ErrorKind::failed_precondition);
  return next.error().text();
}

void expect_next(Status from, Event event, Status expected) {
  Status to = from;
  EXPECT_EQ(step(from, event, to), "") << name_of(from);
  EXPECT_EQ(to, expected) << name_of(from);
}

void expect_refused(Status from, Event event, std::string_view text) {
  Status to = from;
  EXPECT_EQ(step(from, event, to), text) << name_of(from);
}

TEST(NextStatus, FollowsAContainersLife) {
  expect_next(Status::creating, Event::create_done, Status::created);
  expect_next(Status::created, Event::start, Status::running);
  expect_next(Status::running, Event::pause, Status::paused);
  expect_next(Status::paused, Event::resume, Status::running);
  expect_next(Status::running, Event::kill, Status::running);
  expect_next(Status::running, Event::exited, Status::stopped);
  expect_next(Status::stopped, Event::remove, Status::stopped);
}

TEST(NextStatus, EndsFromEverywhereWhenTheProcessIsGone) {
  for (const Status from : kAll) expect_next(from, Event::exited, Status::stopped);
}

TEST(NextStatus, RefusesAStartInRuncsWords) {
  expect_refused(Status::running, Event::start, "cannot start an already running container");
  expect_refused(Status::stopped, Event::start, "cannot start a container that has stopped");
  expect_refused(Status::paused, Event::start, "cannot start a container in the paused state");
  expect_refused(Status::creating, Event::start, "cannot start a container in the creating state");
}

TEST(NextStatus, RefusesAnExecInRuncsWords) {
  expect_next(Status::created, Event::exec, Status::created);
  expect_next(Status::running, Event::exec, Status::running);
  expect_refused(Status::stopped, Event::exec, "cannot exec in a stopped container");
  expect_refused(Status::paused, Event::exec,
                 "cannot exec in a paused container (use --ignore-paused to override)");
  expect_refused(Status::creating, Event::exec, "container not running");
}

TEST(NextStatus, RefusesSignalsAndPausesOfWhatDoesNotRun) {
  expect_refused(Status::stopped, Event::kill, "container not running");
  expect_refused(Status::creating, Event::kill, "container not running");
  expect_next(Status::created, Event::kill, Status::created);
  expect_next(Status::paused, Event::kill, Status::paused);
  for (const Status from : {Status::creating, Status::created, Status::paused, Status::stopped}) {
    expect_refused(from, Event::pause, "container not running");
  }
  for (const Status from : {Status::creating, Status::created, Status::running, Status::stopped}) {
    expect_refused(from, Event::resume, "container not paused");
  }
}

TEST(NextStatus, RefusesToRemoveWhatRuns) {
  expect_next(Status::created, Event::remove, Status::stopped);
  expect_refused(Status::running, Event::remove,
                 "cannot delete container web that is not stopped: running");
  expect_refused(Status::paused, Event::remove,
                 "cannot delete container web that is not stopped: paused");
  expect_refused(Status::creating, Event::remove,
                 "cannot delete container web that is not stopped: creating");
}

TEST(NextStatus, CreatesOnce) {
  expect_refused(Status::running, Event::create_done, "container web is already running");
}

TEST(WriteState, PrintsWhatRuncPrints) {
  State state;
  state.oci_version = "1.2.1";
  state.id = "web";
  state.status = Status::running;
  state.pid = 4422;
  state.bundle = "/b";
  state.rootfs = "/b/rootfs";
  state.created = "2024-05-01T10:00:00.5Z";
  state.annotations = {{"k", "v"}};
  EXPECT_EQ(write_state(state, 2), R"({
  "ociVersion": "1.2.1",
  "id": "web",
  "pid": 4422,
  "status": "running",
  "bundle": "/b",
  "rootfs": "/b/rootfs",
  "created": "2024-05-01T10:00:00.5Z",
  "annotations": {
    "k": "v"
  }
})");
  EXPECT_EQ(parse_state(write_state(state)), state);
}

TEST(WriteState, GivesAHookTheSpecificationsMembersOnly) {
  State state;
  state.oci_version = "1.2.1";
  state.id = "web";
  state.status = Status::creating;
  state.bundle = "/b";
  EXPECT_EQ(write_state(state),
            R"({"ociVersion":"1.2.1","id":"web","pid":0,"status":"creating","bundle":"/b"})");
}

TEST(ParseState, RefusesAnUnknownStatus) {
  EXPECT_EQ(
      parse_state(R"({"ociVersion":"1.0.0","id":"a","status":"dead","bundle":"/"})").error().text(),
      "/status: expected one of creating, created, running, paused, stopped, found \"dead\"");
}

}  // namespace
}  // namespace agentvm::oci
