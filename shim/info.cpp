#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "oci/features.h"
#include "rpc/containerd/types.pb.h"
#include "rpc/payload.h"
#include "shim/actions.h"
#include "shim/version.h"

namespace agentvm::shim {

namespace {

constexpr std::size_t kMaxOptions = std::size_t{1} << 20;

}  // namespace

Result<int> run_info() {
  const std::string input = TRY(sys::read_all(0, kMaxOptions), "the options");
  containerd::types::RuntimeInfo info;
  info.set_name("io.containerd.agentvm.v2");
  info.mutable_version()->set_version(kVersion);
  if (!input.empty() && !rpc::deserialize(input, *info.mutable_options())) {
    return fail(ErrorKind::invalid_argument, "the options on standard input cannot be read");
  }
  oci::FeaturesInput features;
  features.version = kVersion;
  features.seccomp = true;
  features.systemd_cgroups = true;
  info.mutable_features()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  info.mutable_features()->set_value(oci::write_features(features));
  TRY(sys::write_all(1, rpc::serialize(info)));
  return 0;
}

}  // namespace agentvm::shim
