// Docker's answers as values. They are a daemon's, but they carry texts of images and containers:
// read through the checked reader, members that we do not know ignored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/engine/docker.h"

namespace agentvm::sandbox {

[[nodiscard]] Result<ContainerView> parse_container(std::string_view json);
[[nodiscard]] Result<std::vector<ContainerView>> parse_containers(std::string_view json);
[[nodiscard]] Result<ImageView> parse_image(std::string_view json);
[[nodiscard]] Result<std::vector<std::string>> parse_image_names(std::string_view json);
[[nodiscard]] Result<EngineInfo> parse_info(std::string_view json);
// A member of type string at the top.
[[nodiscard]] Result<std::string> parse_text(std::string_view json, std::string_view member);
// Of an exec that ended.
[[nodiscard]] Result<std::optional<int>> parse_exec_status(std::string_view json);
[[nodiscard]] Result<int> parse_wait(std::string_view json);
// One line of a pull; failures that Docker reports in it are errors.
[[nodiscard]] Result<PullStep> parse_pull_step(std::string_view line);
// What Docker says for an answer with this status: kind by status, text by {"message": …}.
[[nodiscard]] Error engine_error(long status, std::string_view body);

}  // namespace agentvm::sandbox
