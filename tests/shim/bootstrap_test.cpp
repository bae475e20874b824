#include "shim/bootstrap.h"

#include <gtest/gtest.h>

#include "rpc/containerd/bootstrap.pb.h"
#include "rpc/containerd/types.pb.h"
#include "rpc/payload.h"

namespace agentvm::shim {
namespace {

constexpr const char* kAddress = "unix:///run/containerd/s/0";

TEST(Bootstrap, AnswersContainerd16WithTheAddressAlone) {
  const Bootstrap bootstrap = read_bootstrap("", "moby", "web", false);
  EXPECT_EQ(bootstrap, Bootstrap{});
  EXPECT_EQ(bootstrap_answer(bootstrap.dialect, kAddress), kAddress);
}

TEST(Bootstrap, AnswersContainerd17WithJson) {
  const Bootstrap bootstrap = read_bootstrap("", "moby", "web", true);
  EXPECT_EQ(bootstrap_answer(bootstrap.dialect, kAddress),
            R"({"version":2,"address":"unix:///run/containerd/s/0","protocol":"ttrpc"})");
}

TEST(Bootstrap, IsNotSeenInOptions) {
  containerd::types::Any options;
  options.set_type_url("containerd.runc.v1.Options");
  options.set_value("moby");
  EXPECT_EQ(read_bootstrap(rpc::serialize(options), "moby", "web", true).dialect,
            Bootstrap::Dialect::json);
  EXPECT_EQ(read_bootstrap("no message", "moby", "web", false).dialect,
            Bootstrap::Dialect::address);
}

TEST(Bootstrap, AnswersContainerd23InProtobuf) {
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  params.set_instance_id("web");
  params.set_namespace_("moby");
  params.set_log_level(-4);
  params.set_containerd_ttrpc_address("/run/c.sock.ttrpc");
  const Bootstrap bootstrap = read_bootstrap(rpc::serialize(params), "moby", "web", false);
  EXPECT_EQ(bootstrap, (Bootstrap{Bootstrap::Dialect::protobuf, "/run/c.sock.ttrpc", true}));
  EXPECT_NE(read_bootstrap(rpc::serialize(params), "moby", "other", false).dialect,
            Bootstrap::Dialect::protobuf);
  containerd::runtime::bootstrap::v1::BootstrapResult result;
  ASSERT_TRUE(rpc::deserialize(bootstrap_answer(bootstrap.dialect, kAddress), result));
  EXPECT_EQ(result.version(), 3);
  EXPECT_EQ(result.address(), kAddress);
  EXPECT_EQ(result.protocol(), "ttrpc");
}

}  // namespace
}  // namespace agentvm::shim
