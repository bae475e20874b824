#include "shim/options.h"

#include <fmt/format.h>

#include "rpc/payload.h"

namespace agentvm::shim {

Result<RuntimeChoice> read_options(const containerd::types::Any& options) {
  RuntimeChoice choice;
  std::string_view type = options.type_url();
  type.remove_prefix(type.rfind('/') + 1);  // npos + 1 is 0
  if (type == "containerd.runc.v1.Options") {
    containerd::types::RuncOptions runc;
    if (!rpc::deserialize(options.value(), runc)) {
      return fail(ErrorKind::invalid_argument, "the runtime's options cannot be read");
    }
    choice.systemd_cgroup = runc.systemd_cgroup();
    return choice;
  }
  if (type != "runtimeoptions.v1.Options" && !type.empty()) {
    choice.note = fmt::format("options of type '{}' are ignored", type);
    return choice;
  }
  containerd::types::RuntimeOptions given;
  if (!rpc::deserialize(options.value(), given)) {
    return fail(ErrorKind::invalid_argument, "the runtime's options cannot be read");
  }
  choice.config_path = given.config_path();
  if (choice.config_path.empty() && !given.config_body().empty()) {
    choice.note = "options without a ConfigPath are ignored: agentvm's configuration is a file";
  }
  return choice;
}

}  // namespace agentvm::shim
