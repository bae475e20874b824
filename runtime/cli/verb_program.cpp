#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "oci/base/try.h"
#include "runtime/cli/verbs.h"
#include "runtime/config_keys.h"

namespace agentvm::runtime::cli {

namespace {

// In libexec; in a build tree beside agentvm itself.
Result<std::string> find_program(const std::string& name) {
  std::error_code code;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", code);
  for (const std::string& directory : {install_dirs().libexec, self.parent_path().string()}) {
    std::string path = directory + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return fail(ErrorKind::unavailable, fmt::format("'{}/{}' is missing: install agentvm again",
                                                  install_dirs().libexec, name));
}

}  // namespace

Result<int> run_program(const Engine& engine, const ProgramOptions& options) {
  std::vector<std::string> words{TRY(find_program(options.program))};
  if (options.program == "agentvm-sandbox" && engine.config_path != kConfigPath) {
    words.insert(words.end(), {"--config", engine.config_path});
  }
  words.insert(words.end(), options.args.begin(), options.args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  return fail_errno(errno, fmt::format("run '{}'", words[0]));
}

}  // namespace agentvm::runtime::cli
