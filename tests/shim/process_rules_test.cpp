#include "shim/process_rules.h"

#include <gtest/gtest.h>

#include <csignal>

namespace agentvm::shim {
namespace {

using enum ProcessStatus;

TEST(ProcessRules, AllowWhatAStateAllows) {
  for (const auto& [status, request] : {std::pair{created, Request::start},
                                        {created, Request::kill},
                                        {created, Request::remove},
                                        {created, Request::exec},
                                        {created, Request::update},
                                        {created, Request::inspect},
                                        {running, Request::kill},
                                        {running, Request::exec},
                                        {running, Request::pause},
                                        {running, Request::update},
                                        {running, Request::inspect},
                                        {paused, Request::kill},
                                        {paused, Request::resume},
                                        {paused, Request::inspect},
                                        {stopped, Request::remove}}) {
    EXPECT_TRUE(allow(status, request, false)) << name_of(status);
  }
}

TEST(ProcessRules, RefuseTheRestAsFailedPrecondition) {
  for (const auto& [status, request, text] :
       {std::tuple{running, Request::start, "cannot start a running container"},
        {stopped, Request::start, "cannot start a stopped container"},
        {running, Request::remove, "cannot delete a running container"},
        {paused, Request::remove, "cannot delete a paused container"},
        {paused, Request::exec, "cannot exec in a paused container"},
        {stopped, Request::exec, "cannot exec in a stopped container"},
        {created, Request::pause, "cannot pause a created container"},
        {paused, Request::pause, "cannot pause a paused container"},
        {running, Request::resume, "cannot resume a running container"},
        {stopped, Request::update, "cannot update a stopped container"},
        {stopped, Request::inspect, "container not running"}}) {
    const auto allowed = allow(status, request, false);
    ASSERT_FALSE(allowed) << text;
    EXPECT_EQ(allowed.error().kind, ErrorKind::failed_precondition) << text;
    EXPECT_EQ(allowed.error().text(), text);
  }
}

TEST(ProcessRules, KillingWhatHasEndedIsNotFound) {
  for (const bool exec : {false, true}) {
    const auto allowed = allow(stopped, Request::kill, exec);
    EXPECT_EQ(allowed.error().kind, ErrorKind::not_found);
    EXPECT_EQ(allowed.error().text(), "process already finished");
  }
  // The init of a created container is there; an exec that was only added is not.
  EXPECT_TRUE(allow(created, Request::kill, false));
  EXPECT_EQ(allow(created, Request::kill, true).error().kind, ErrorKind::failed_precondition);
}

TEST(ProcessRules, AStandInsEndIsAnExitStatus) {
  EXPECT_EQ(exit_status_of(7 << 8), 7U);
  EXPECT_EQ(exit_status_of(0), 0U);
  EXPECT_EQ(exit_status_of(SIGKILL), 137U);
  EXPECT_EQ(exit_status_of(SIGTERM), 143U);
}

}  // namespace
}  // namespace agentvm::shim
