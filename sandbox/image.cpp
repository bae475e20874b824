#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "oci/base/try.h"
#include "sandbox/life.h"
#include "sandbox/store/program.h"

namespace agentvm::sandbox {

namespace {

constexpr std::string_view kOwnImages = "agentvm/";
constexpr double kMegabyte = 1e6;

// One line that is written over on a terminal; in a log, one line for every layer.
class PullProgress {
 public:
  void operator()(const PullStep& step) {
    if (!terminal_) {
      if (step.layer.empty() || step.status.ends_with("complete")) {
        fmt::print(stderr, "{}{}{}\n", step.layer, step.layer.empty() ? "" : ": ", step.status);
      }
      return;
    }
    if (step.status == "Downloading") layers_[step.layer] = {step.current, step.total};
    std::uint64_t got = 0;
    std::uint64_t total = 0;
    for (const auto& [layer, sizes] : layers_) {
      got += sizes.first;
      total += sizes.second;
    }
    fmt::print(stderr, "\r\x1b[K{} {:.1f}/{:.1f} MB", step.status.substr(0, 40),
               static_cast<double>(got) / kMegabyte, static_cast<double>(total) / kMegabyte);
  }
  ~PullProgress() {
    if (terminal_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> layers_;
};

Result<void> build(const World& world, const Docker& docker, const std::string& image,
                   const std::string& agent) {
  const std::string program = world.libexec + "/agentvm-images";
  if (::access(program.c_str(), X_OK) != 0) {
    return fail(
        ErrorKind::unavailable,
        fmt::format("image '{}' is not there, and '{}', which builds it, neither", image, program));
  }
  fmt::print(stderr, "agentvm sandbox: building image '{}', once\n", image);
  ::setenv("DOCKER_HOST", ("unix://" + docker.socket()).c_str(), 1);
  const int status = TRY(run_in_foreground({program, "build", agent}));
  if (status == 0) return {};
  return fail(ErrorKind::unavailable,
              fmt::format("building image '{}' failed (status {})", image, status));
}

}  // namespace

Result<void> ensure_image(const World& world, const Docker& docker, const std::string& image,
                          const std::string& agent) {
  const auto there = docker.inspect_image(image);
  if (there) return {};
  if (there.error().kind != ErrorKind::not_found) return std::unexpected(there.error());
  if (image == std::string(kOwnImages) + agent) return build(world, docker, image, agent);
  fmt::print(stderr, "agentvm sandbox: pulling image '{}'\n", image);
  PullProgress progress;
  TRY(docker.pull(image, [&](const PullStep& step) { progress(step); }), "pull image '{}'", image);
  return {};
}

}  // namespace agentvm::sandbox
