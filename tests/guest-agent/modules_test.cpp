#include "guest-agent/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::guest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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

TEST(ModuleAliases, AreWhatTheKernelAsksFor) {
  constexpr std::string_view kAliases =
      "alias net-pf-16-proto-12 nfnetlink\n"
      "alias nft-expr-masq nft_masq\nalias ipt_MASQUERADE xt_MASQUERADE\n"
      "alias nft-expr-*-match nft_compat\nalias nft-expr-2-match other\nrubbish\n";
  EXPECT_THAT(modules_for_alias(kAliases, "ipt_MASQUERADE"), ElementsAre("xt_MASQUERADE"));
  EXPECT_THAT(modules_for_alias(kAliases, "nft-expr-2-match"), ElementsAre("nft_compat", "other"));
  EXPECT_THAT(modules_for_alias(kAliases, "nft-expr"), IsEmpty());
  EXPECT_THAT(modules_for_alias(kAliases, "*"), IsEmpty());
}

}  // namespace
}  // namespace agentvm::guest
