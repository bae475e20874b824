#include <gtest/gtest.h>

#include "guest-agent/cgroup_devices.h"

namespace agentvm::guest {
namespace {

using Type = DevicePolicy::Type;

oci::DeviceRule rule(bool allow, const char* type, std::optional<std::int64_t> major,
                     std::optional<std::int64_t> minor, const char* access) {
  return {allow, type, major, minor, access};
}

DevicePolicy policy_of(std::vector<oci::DeviceRule> rules) {
  auto policy = device_policy(rules);
  EXPECT_TRUE(policy.has_value()) << policy.error().text();
  return policy.value_or(DevicePolicy{});
}

std::string error_of(std::vector<oci::DeviceRule> rules) {
  const auto policy = device_policy(rules);
  return policy ? "no error" : policy.error().text();
}

TEST(DevicePolicy, NoRulesMeansTheDefaultDevicesOnly) {
  const DevicePolicy policy = policy_of({});
  EXPECT_FALSE(policy.default_allow);
  EXPECT_EQ(policy.exceptions.size(), 10u);
  EXPECT_EQ(policy.exceptions.at({Type::character, 1, 3}), 7u);
  EXPECT_EQ(policy.exceptions.at({Type::character, -1, -1}),
            static_cast<std::uint32_t>(BPF_DEVCG_ACC_MKNOD));
}

TEST(DevicePolicy, ARuleForAllForgetsWhatWasBefore) {
  EXPECT_EQ(policy_of({rule(true, "b", 8, 0, "rwm"), rule(false, "a", {}, {}, "rwm")}),
            policy_of({}));
  const DevicePolicy everything =
      policy_of({rule(false, "c", 10, 229, "r"), rule(true, "", {}, {}, "")});
  EXPECT_TRUE(everything.default_allow);
  EXPECT_TRUE(everything.exceptions.empty());
}

TEST(DevicePolicy, AccessesOfOneDeviceAddUpAndAreTakenBack) {
  const DevicePolicy policy = policy_of(
      {rule(true, "b", 8, 0, "r"), rule(true, "b", 8, 0, "w"), rule(false, "b", 8, 0, "r")});
  EXPECT_EQ(policy.exceptions.at({Type::block, 8, 0}),
            static_cast<std::uint32_t>(BPF_DEVCG_ACC_WRITE));
}

TEST(DevicePolicy, DenyingWhatWasNeverAllowedIsFine) {
  EXPECT_EQ(policy_of({rule(false, "c", 10, 229, "rwm")}), policy_of({}));
}

TEST(DevicePolicy, RefusesAHoleInAWildcard) {
  EXPECT_EQ(error_of({rule(true, "c", 10, -1, "rw"), rule(false, "c", 10, 229, "w")}),
            "/linux/resources/devices: the rule for 10:229 would punch a hole into an earlier "
            "wildcard rule");
}

TEST(DevicePolicy, NamesWhatIsWrong) {
  EXPECT_EQ(error_of({rule(true, "x", 1, 1, "r")}),
            "/linux/resources/devices: type 'x' is none of a, b and c");
  EXPECT_EQ(error_of({rule(true, "c", 1, 1, "rx")}),
            "/linux/resources/devices: access 'rx' is not made of r, w and m");
  EXPECT_EQ(error_of({rule(true, "c", -2, 1, "r")}),
            "/linux/resources/devices: -2 is not a device number");
  EXPECT_EQ(error_of(std::vector<oci::DeviceRule>(4097, rule(true, "c", 1, 1, "r"))),
            "/linux/resources/devices: more than 4096 rules");
}

}  // namespace
}  // namespace agentvm::guest
