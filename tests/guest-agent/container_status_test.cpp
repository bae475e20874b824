#include "guest-agent/container_status.h"

#include <gtest/gtest.h>

namespace agentvm::guest {
namespace {

using Event = ContainerEvent;
using Status = ContainerStatus;

std::string after(Status from, Event event) {
  const auto next = next_status(from, event);
  return next ? std::string(name_of(*next)) : next.error().text();
}

TEST(ContainerStatus, ALifeGoesFromCreatedToStopped) {
  EXPECT_EQ(after(Status::creating, Event::created), "created");
  EXPECT_EQ(after(Status::created, Event::start), "running");
  EXPECT_EQ(after(Status::running, Event::pause), "paused");
  EXPECT_EQ(after(Status::paused, Event::resume), "running");
  EXPECT_EQ(after(Status::running, Event::exit), "stopped");
  EXPECT_EQ(after(Status::stopped, Event::erase), "deleting");
}

TEST(ContainerStatus, StartsOnce) {
  EXPECT_EQ(after(Status::running, Event::start), "cannot start an already running container");
  EXPECT_EQ(after(Status::paused, Event::start), "cannot start an already running container");
  EXPECT_EQ(after(Status::stopped, Event::start), "cannot start a container that has stopped");
}

TEST(ContainerStatus, ExecNeedsALivingContainerThatIsNotFrozen) {
  EXPECT_EQ(after(Status::created, Event::exec), "created");
  EXPECT_EQ(after(Status::running, Event::exec), "running");
  EXPECT_EQ(after(Status::paused, Event::exec), "cannot exec in a paused container");
  EXPECT_EQ(after(Status::stopped, Event::exec), "cannot exec in a stopped container");
}

TEST(ContainerStatus, PauseAndResumeAreForRunningAndPaused) {
  EXPECT_EQ(after(Status::created, Event::pause), "container not running: created");
  EXPECT_EQ(after(Status::stopped, Event::pause), "container not running: stopped");
  EXPECT_EQ(after(Status::running, Event::resume), "container not paused");
}

TEST(ContainerStatus, InitMayEndAtAnyTime) {
  for (const Status from : {Status::created, Status::running, Status::paused, Status::stopped}) {
    EXPECT_EQ(after(from, Event::exit), "stopped");
  }
  EXPECT_EQ(after(Status::creating, Event::exit), "creating");
  EXPECT_EQ(after(Status::deleting, Event::exit), "deleting");
}

TEST(ContainerStatus, OnlyOneDeleteIsAtWork) {
  EXPECT_EQ(after(Status::deleting, Event::erase), "the container is being deleted");
  EXPECT_EQ(after(Status::creating, Event::erase), "the container is being created");
}

}  // namespace
}  // namespace agentvm::guest
