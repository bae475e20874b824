#include "guest-agent/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::guest {
namespace {

using testing::ElementsAre;

TEST(ModuleDependencies, LoadsWhatAModuleNeedsFirst) {
  const auto known = parse_module_dependencies(
      "veth:\nnet-failover: failover\nvirtio_net: failover net_failover \n");
  ASSERT_TRUE(known.has_value());
  EXPECT_THAT(*modules_for(*known, "virtio-net"),
              ElementsAre("failover", "net_failover", "virtio_net"));
  EXPECT_THAT(*modules_for(*known, "veth"), ElementsAre("veth"));
}

TEST(ModuleDependencies, NamesTheModuleThatIsMissing) {
  const auto order = modules_for({}, "dm-crypt");
  ASSERT_FALSE(order.has_value());
  EXPECT_EQ(order.error().text(), "the guest has no kernel module 'dm_crypt'");
}

TEST(ModuleDependencies, RefusesALineWithoutAName) {
  EXPECT_EQ(parse_module_dependencies("a: b\n: c\n").error().text(),
            "module dependencies: ': c' is not \"NAME: DEP...\"");
  EXPECT_FALSE(parse_module_dependencies("just words\n").has_value());
}

}  // namespace
}  // namespace agentvm::guest
