#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "runtime/config_keys.h"

namespace agentvm::runtime {

namespace {

constexpr std::size_t kMaxBytes = 64 * 1024;
// The TOML library descends one call per part of a dotted key: a line's length bounds the stack.
constexpr std::size_t kMaxLine = 1024;

struct Place {
  const std::string& name;
  toml::source_position at;
};

std::unexpected<Error> wrong(const Place& place, std::string_view what) {
  return fail(ErrorKind::invalid_argument,
              fmt::format("{}:{}:{}: {}", place.name, place.at.line, place.at.column, what));
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::none:
      return "nothing";
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
  }
  return "nothing";
}

Result<ConfigValue> read_text(const ConfigKey& key, const toml::node& node, const Place& place) {
  const auto* text = node.as_string();
  if (text == nullptr) {
    return wrong(place,
                 fmt::format("{}: expected a string, not {}", key.dotted(), type_name(node)));
  }
  if (!key.words.empty() && std::ranges::find(key.words, text->get()) == key.words.end()) {
    return wrong(place, fmt::format("{}: expected one of \"{}\", not \"{}\"", key.dotted(),
                                    fmt::join(key.words, "\", \""), text->get()));
  }
  // A value becomes a program's argument or a path: a NUL would silently cut it short.
  if (text->get().find('\0') != std::string::npos) {
    return wrong(place, fmt::format("{}: a string must not contain U+0000", key.dotted()));
  }
  return ConfigValue(text->get());
}

Result<ConfigValue> read_number(const ConfigKey& key, const toml::node& node, const Place& place) {
  const auto* number = node.as_integer();
  if (number == nullptr) {
    return wrong(place,
                 fmt::format("{}: expected an integer, not {}", key.dotted(), type_name(node)));
  }
  const std::int64_t value = number->get();
  if (value < 0 || static_cast<std::uint64_t>(value) < key.least ||
      static_cast<std::uint64_t>(value) > key.most) {
    return wrong(place, fmt::format("{}: {} is out of range, expected {} to {}", key.dotted(),
                                    value, key.least, key.most));
  }
  return ConfigValue(static_cast<std::uint64_t>(value));
}

Result<ConfigValue> read_flag(const ConfigKey& key, const toml::node& node, const Place& place) {
  const auto* flag = node.as_boolean();
  if (flag == nullptr) {
    return wrong(place,
                 fmt::format("{}: expected true or false, not {}", key.dotted(), type_name(node)));
  }
  return ConfigValue(flag->get());
}

Result<ConfigValue> read_names(const ConfigKey& key, const toml::node& node, const Place& place) {
  const auto* array = node.as_array();
  if (array == nullptr) {
    return wrong(place, fmt::format("{}: expected a list of strings, not {}", key.dotted(),
                                    type_name(node)));
  }
  std::vector<std::string> names;
  for (const toml::node& entry : *array) {
    const Place at{place.name, entry.source().begin};
    const auto* name = entry.as_string();
    if (name == nullptr) {
      return wrong(at,
                   fmt::format("{}: expected a string, not {}", key.dotted(), type_name(entry)));
    }
    if (!name->get().starts_with(key.prefix) || name->get().size() == key.prefix.size()) {
      return wrong(at, fmt::format("{}: \"{}\" does not begin with \"{}\"", key.dotted(),
                                   name->get(), key.prefix));
    }
    names.push_back(name->get());
  }
  return ConfigValue(std::move(names));
}

Result<ConfigValue> read_value(const ConfigKey& key, const toml::node& node, const Place& place) {
  if (std::holds_alternative<std::string>(key.initial)) return read_text(key, node, place);
  if (std::holds_alternative<std::uint64_t>(key.initial)) return read_number(key, node, place);
  if (std::holds_alternative<bool>(key.initial)) return read_flag(key, node, place);
  return read_names(key, node, place);
}

Result<void> read_table(const std::vector<ConfigKey>& keys, std::string_view table_name,
                        const toml::table& table, const std::string& name, Config& config) {
  for (const auto& [member, node] : table) {
    const Place at_name{name, member.source().begin};
    const auto key = std::ranges::find_if(keys, [&](const ConfigKey& candidate) {
      return candidate.table == table_name && candidate.name == member.str();
    });
    if (key == keys.end()) {
      return wrong(at_name, fmt::format("unknown key '{}.{}'", table_name, member.str()));
    }
    const Place at_value{name, node.source().begin};
    key->set(config, TRY(read_value(*key, node, at_value)));
    config.origins[key->dotted()] = fmt::format("{}:{}", name, at_name.at.line);
  }
  return {};
}

Result<Config> read_document(const toml::table& document, const std::string& name) {
  const std::vector<ConfigKey> keys = config_keys(install_dirs());
  Config config = make_default_config();
  for (const auto& [table_name, node] : document) {
    const Place place{name, table_name.source().begin};
    if (std::ranges::none_of(keys,
                             [&](const auto& key) { return key.table == table_name.str(); })) {
      return wrong(place, fmt::format("unknown key or table '{}'", table_name.str()));
    }
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return wrong(place,
                   fmt::format("{}: expected a table, not {}", table_name.str(), type_name(node)));
    }
    TRY(read_table(keys, table_name.str(), *table, name, config));
  }
  return config;
}

Result<void> check_line_lengths(std::string_view text, const std::string& name) {
  toml::source_index line = 1;
  for (std::size_t at = 0; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end - at > kMaxLine) {
      return wrong({name, {line, 1}}, fmt::format("the line is longer than {} bytes", kMaxLine));
    }
    at = end + 1;
  }
  return {};
}

// Whoever can write the file chooses programs that the caller runs.
Result<void> check_writers(int fd, const std::string& path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail_errno(errno, fmt::format("stat '{}'", path));
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    return fail(
        ErrorKind::failed_precondition,
        fmt::format("configuration '{}' belongs to user {}, not to root", path, status.st_uid));
  }
  if ((status.st_mode & 0022) != 0) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("configuration '{}' can be written by others (mode {:04o}); run "
                            "'chmod go-w {}'",
                            path, status.st_mode & 07777, path));
  }
  return {};
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& name) {
  if (text.size() > kMaxBytes) {
    return fail(ErrorKind::invalid_argument,
                fmt::format("{}: more than {} bytes", name, kMaxBytes));
  }
  TRY(check_line_lengths(text, name));
  try {
    return read_document(toml::parse(text, std::string_view(name)), name);
  } catch (const toml::parse_error& error) {
    return wrong({name, error.source().begin}, error.description());
  } catch (const std::exception& error) {
    return fail(ErrorKind::invalid_argument, fmt::format("{}: {}", name, error.what()));
  }
}

Result<Config> load_config(const std::string& path, bool must_exist) {
  auto fd = sys::open_at(AT_FDCWD, path, O_RDONLY);
  if (!fd && fd.error().errnum == ENOENT) {
    if (!must_exist) return make_default_config();
    return fail(ErrorKind::not_found, fmt::format("configuration '{}' does not exist", path));
  }
  if (!fd) return std::unexpected(std::move(fd).error().wrap("configuration"));
  TRY(check_writers(fd->get(), path));
  const std::string text = TRY(sys::read_all(fd->get(), kMaxBytes), "configuration '{}'", path);
  return parse_config(text, path);
}

}  // namespace agentvm::runtime
