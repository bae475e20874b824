#include "shim/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/payload.h"

namespace agentvm::shim {
namespace {

containerd::types::Any any(std::string type, std::string value) {
  containerd::types::Any out;
  out.set_type_url(std::move(type));
  out.set_value(std::move(value));
  return out;
}

std::string config_path(const std::string& path) {
  containerd::types::RuntimeOptions options;
  options.set_type_url("something of the client's");
  options.set_config_path(path);
  return rpc::serialize(options);
}

TEST(ShimOptions, NameTheConfigurationFile) {
  const RuntimeChoice expected{"/etc/a.toml", false, ""};
  EXPECT_EQ(*read_options(any("runtimeoptions.v1.Options", config_path("/etc/a.toml"))), expected);
  EXPECT_EQ(*read_options(
                any("types.containerd.io/runtimeoptions.v1.Options", config_path("/etc/a.toml"))),
            expected);
  EXPECT_EQ(*read_options(any("", config_path("/etc/a.toml"))), expected);
  EXPECT_EQ(*read_options({}), RuntimeChoice{});
}

TEST(ShimOptions, OfRuncTellTheCgroupDriver) {
  containerd::types::RuncOptions runc;
  runc.set_systemd_cgroup(true);
  EXPECT_EQ(*read_options(any("containerd.runc.v1.Options", rpc::serialize(runc))),
            (RuntimeChoice{"", true, ""}));
}

TEST(ShimOptions, OfOthersAreIgnoredAloud) {
  EXPECT_EQ(read_options(any("runhcs.v1.Options", "x"))->note,
            "options of type 'runhcs.v1.Options' are ignored");
  containerd::types::RuntimeOptions body;
  body.set_config_body("[vm]");
  EXPECT_THAT(read_options(any("", rpc::serialize(body)))->note,
              testing::HasSubstr("without a ConfigPath"));
}

TEST(ShimOptions, ThatCannotBeReadAreRefused) {
  EXPECT_EQ(read_options(any("runtimeoptions.v1.Options", "\xff\xff")).error().kind,
            ErrorKind::invalid_argument);
}

}  // namespace
}  // namespace agentvm::shim
