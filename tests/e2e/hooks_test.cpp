#include <filesystem>

#include "oci/state.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;

class Hooks : public Agentvm {
 protected:
  // A hook that appends its name and keeps the state it was given.
  [[nodiscard]] oci::Hook note(const std::string& name) const {
    const std::string script = scratch() + "/" + name + ".sh";
    write_file(script,
               "#!/bin/sh\necho " + name + " $HOOK_ENV $1 >> " + scratch() + "/order\ncat > " +
                   scratch() + "/" + name + ".json\nreadlink /proc/self/ns/net > " + scratch() +
                   "/" + name + ".netns\n",
               0755);
    return {script, {"hook", "argument"}, {"HOOK_ENV=env", "PATH=/usr/bin:/bin"}, std::nullopt};
  }
  [[nodiscard]] oci::Status status_seen_by(const std::string& name) const {
    const auto state = oci::parse_state(read_file(scratch() + "/" + name + ".json"));
    EXPECT_TRUE(state.has_value()) << name;
    return state ? state->status : oci::Status::stopped;
  }
};

TEST_F(Hooks, AllSixRunInTheirOrderWithTheStateOnTheirInput) {
  Bundle bundle(Bundle::shell("echo container >> /order; sleep 1000"));
  // startContainer runs in the container: its program, its files.
  bundle.add_file("start.sh", "#!/bin/sh\ncat > /start.json; hostname > /start.host\n", 0755);
  bundle.spec.hooks.prestart = {note("prestart")};
  bundle.spec.hooks.create_runtime = {note("createRuntime")};
  bundle.spec.hooks.create_container = {note("createContainer")};
  bundle.spec.hooks.start_container = {{"/start.sh", {"/start.sh"}, {"PATH=/bin"}, std::nullopt}};
  bundle.spec.hooks.poststart = {note("poststart")};
  bundle.spec.hooks.poststop = {note("poststop")};
  create("web", bundle);
  EXPECT_EQ(read_file(scratch() + "/order"),
            "prestart env argument\ncreateRuntime env argument\ncreateContainer env argument\n");
  EXPECT_EQ(status_seen_by("prestart"), oci::Status::creating);
  EXPECT_EQ(status_seen_by("createRuntime"), oci::Status::creating);
  const std::string container_netns =
      std::filesystem::read_symlink("/proc/" + std::to_string(stand_in("web")) + "/ns/net")
          .string();
  EXPECT_EQ(read_file(scratch() + "/createContainer.netns"), container_netns + "\n");
  EXPECT_NE(read_file(scratch() + "/createRuntime.netns"), container_netns + "\n");
  const auto state = oci::parse_state(read_file(scratch() + "/createRuntime.json"));
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->pid, stand_in("web"));
  EXPECT_EQ(state->bundle, bundle.path());

  EXPECT_FALSE(std::filesystem::exists(bundle.rootfs() + "/start.json"));
  start("web");
  EXPECT_EQ(read_file(bundle.rootfs() + "/start.host"), "guest\n");
  const auto seen = oci::parse_state(read_file(bundle.rootfs() + "/start.json"));
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(seen->status, oci::Status::created);
  EXPECT_EQ(seen->id, "web");
  EXPECT_EQ(status_seen_by("poststart"), oci::Status::running);

  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
  EXPECT_THAT(read_file(scratch() + "/order"), HasSubstr("poststop env argument\n"));
  EXPECT_EQ(status_seen_by("poststop"), oci::Status::stopped);
}

TEST_F(Hooks, AFailureAtCreateFailsTheCreateWithWhatTheHookSaid) {
  for (const std::string kind : {"prestart", "createRuntime", "createContainer"}) {
    Bundle bundle({"/bin/true"});
    const std::vector<oci::Hook> failing{
        {"/bin/sh", {"sh", "-c", "echo sorry >&2; exit 3"}, {}, std::nullopt}};
    if (kind == "prestart") bundle.spec.hooks.prestart = failing;
    if (kind == "createRuntime") bundle.spec.hooks.create_runtime = failing;
    if (kind == "createContainer") bundle.spec.hooks.create_container = failing;
    bundle.store();
    const Outcome outcome = agentvm({"create", "--bundle", bundle.path(), "web"});
    EXPECT_EQ(outcome.status, 1) << kind;
    EXPECT_THAT(outcome.err, HasSubstr("error running")) << kind;
    EXPECT_THAT(outcome.err, HasSubstr("exit status 3")) << kind;
    EXPECT_THAT(outcome.err, HasSubstr("sorry")) << kind;
    EXPECT_THAT(agentvm({"list", "--quiet"}).out, testing::IsEmpty());
  }
}

TEST_F(Hooks, ATimeOutEndsTheHookAndTheCreate) {
  Bundle bundle({"/bin/true"});
  bundle.spec.hooks.create_runtime = {{"/bin/sleep", {"sleep", "1000"}, {}, 1}};
  bundle.store();
  const Outcome outcome = agentvm({"create", "--bundle", bundle.path(), "web"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("createRuntime"));
}

TEST_F(Hooks, AFailureOfStartContainerStopsTheContainer) {
  Bundle bundle(Bundle::shell("touch /ran"));
  bundle.spec.hooks.start_container = {{"/bin/false", {"false"}, {}, std::nullopt}};
  create("web", bundle);
  const Outcome outcome = agentvm({"start", "web"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("startContainer"));
  wait_for_status("web", "stopped");
  EXPECT_FALSE(std::filesystem::exists(bundle.rootfs() + "/ran"));
}

TEST_F(Hooks, FailuresAfterTheFactAreOnlyLogged) {
  Bundle bundle({"/bin/sleep", "1000"});
  bundle.spec.hooks.poststart = {{"/bin/false", {"false"}, {}, std::nullopt}};
  bundle.spec.hooks.poststop = {{"/bin/false", {"false"}, {}, std::nullopt}};
  create("web", bundle);
  const Outcome started = agentvm({"start", "web"});
  EXPECT_EQ(started.status, 0);
  EXPECT_THAT(started.err, HasSubstr("level=warning"));
  EXPECT_EQ(status("web"), "running");
  EXPECT_EQ(agentvm({"delete", "--force", "web"}).status, 0);
}

}  // namespace
}  // namespace agentvm::e2e
