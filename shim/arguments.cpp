#include "shim/arguments.h"

#include <fmt/format.h>

#include <array>
#include <optional>

#include "oci/base/try.h"
#include "runtime/state_dir.h"

namespace agentvm::shim {

namespace {

constexpr std::size_t kMaxNamespace = 128;

// "-name", "--name", "-name=value": what Go's flag package takes for a flag.
struct Flag {
  std::string_view name;
  std::optional<std::string_view> value;
};

std::optional<Flag> as_flag(std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return std::nullopt;
  word.remove_prefix(word[1] == '-' ? 2 : 1);
  const std::size_t equals = word.find('=');
  if (equals == word.npos) return Flag{word, std::nullopt};
  return Flag{word.substr(0, equals), word.substr(equals + 1)};
}

class Parser {
 public:
  explicit Parser(std::span<const std::string_view> words) : words_(words) {}

  Result<Arguments> parse() {
    while (at_ < words_.size()) {
      const auto flag = as_flag(words_[at_]);
      if (!flag) break;
      ++at_;
      if (flag->name.empty()) break;  // "--" ends them
      TRY(take(*flag));
    }
    if (at_ < words_.size()) TRY(take_action(words_[at_]));
    return std::move(arguments_);
  }

 private:
  Result<void> take(const Flag& flag) {
    if (flag.name == "debug") {
      arguments_.debug = flag.value.value_or("true") != "false";
      return {};
    }
    if (flag.name == "v" || flag.name == "version") {
      arguments_.action = Action::version;
      return {};
    }
    if (flag.name == "info") {
      arguments_.action = Action::info;
      return {};
    }
    std::string* text = text_of(flag.name);
    std::string ignored;
    // Of no use to us: events go by TTRPC_ADDRESS, the socket is inherited.
    if (flag.name == "publish-binary" || flag.name == "socket" || flag.name == "debug-socket") {
      text = &ignored;
    }
    if (text == nullptr) {
      return fail(ErrorKind::invalid_argument, fmt::format("unknown flag -{}", flag.name));
    }
    if (!flag.value && at_ >= words_.size()) {
      return fail(ErrorKind::invalid_argument, fmt::format("flag -{} needs a value", flag.name));
    }
    *text = flag.value ? *flag.value : words_[at_++];
    return {};
  }

  std::string* text_of(std::string_view name) {
    if (name == "namespace") return &arguments_.name_space;
    if (name == "id") return &arguments_.id;
    if (name == "address") return &arguments_.address;
    if (name == "bundle") return &arguments_.bundle;
    return nullptr;
  }

  Result<void> take_action(std::string_view word) {
    for (const auto& [name, action] :
         {std::pair{"start", Action::start}, {"delete", Action::remove}, {"verb", Action::verb}}) {
      if (word != name) continue;
      arguments_.action = action;
      return {};
    }
    return fail(ErrorKind::invalid_argument, fmt::format("unknown action '{}'", word));
  }

  std::span<const std::string_view> words_;
  std::size_t at_ = 0;
  Arguments arguments_;
};

}  // namespace

Result<Arguments> parse_arguments(std::span<const std::string_view> words) {
  auto arguments = TRY(Parser(words).parse());
  if (arguments.action == Action::info || arguments.action == Action::version) return arguments;
  if (arguments.name_space.empty()) {
    return fail(ErrorKind::invalid_argument, "shim namespace cannot be empty");
  }
  if (arguments.name_space.size() > kMaxNamespace) {
    return fail(ErrorKind::invalid_argument, "-namespace is too long");
  }
  TRY(runtime::check_container_id(arguments.name_space), "-namespace");
  TRY(runtime::check_container_id(arguments.id), "-id");
  return arguments;
}

}  // namespace agentvm::shim
