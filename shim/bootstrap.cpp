#include "shim/bootstrap.h"

#include "oci/base/json_writer.h"
#include "rpc/containerd/bootstrap.pb.h"
#include "rpc/payload.h"

namespace agentvm::shim {

namespace wire = containerd::runtime::bootstrap::v1;

namespace {

constexpr std::int32_t kDebugLevel = -4;
// What an address alone stands for, and what JSON may say to 1.7, which knows no later one.
constexpr int kOldTaskVersion = 2;
constexpr int kTaskVersion = 3;

}  // namespace

Bootstrap read_bootstrap(std::string_view input, std::string_view name_space, std::string_view id,
                         bool has_max_version) {
  Bootstrap bootstrap;
  wire::BootstrapParams params;
  if (rpc::deserialize(input, params) && params.namespace_() == name_space &&
      params.instance_id() == id) {
    bootstrap.dialect = Bootstrap::Dialect::protobuf;
    bootstrap.ttrpc_address = params.containerd_ttrpc_address();
    bootstrap.debug = params.log_level() <= kDebugLevel;
  } else if (has_max_version) {
    bootstrap.dialect = Bootstrap::Dialect::json;
  }
  return bootstrap;
}

std::string bootstrap_answer(Bootstrap::Dialect dialect, const std::string& address) {
  switch (dialect) {
    case Bootstrap::Dialect::address:
      return address;
    case Bootstrap::Dialect::json: {
      JsonWriter json;
      json.begin_object().key("version").value(kOldTaskVersion);
      json.key("address").value(address);
      json.key("protocol").value("ttrpc").end_object();
      return json.take();
    }
    case Bootstrap::Dialect::protobuf: {
      wire::BootstrapResult result;
      result.set_version(kTaskVersion);
      result.set_address(address);
      result.set_protocol("ttrpc");
      return rpc::serialize(result);
    }
  }
  return address;
}

}  // namespace agentvm::shim
