#include <fmt/format.h>
#include <fmt/ranges.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "egress/settings.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "sandbox/cli/table.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/life.h"
#include "sandbox/store/control.h"

namespace agentvm::sandbox {

namespace {

constexpr std::size_t kMaxTyped = 65'536;

struct SetOptions {
  std::string name;
  std::string command;
  std::vector<std::string> hosts;
  std::string header;
  std::string format;
  std::vector<std::string> environment;
  std::string method;
  std::string path;
};

struct NameOptions {
  std::vector<std::string> names;
};

// Not shown while it is typed.
class SilentTerminal {
 public:
  SilentTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  ~SilentTerminal() {
    if (changed_) (void)::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }

 private:
  termios before_{};
  bool changed_ = false;
};

// From standard input, one line where somebody types: never from the command line, which every
// process of the host can read.
Result<std::string> read_value(const std::string& name) {
  if (::isatty(STDIN_FILENO) != 1) {
    return clean_value(TRY(sys::read_all(STDIN_FILENO, kMaxTyped), "standard input"));
  }
  fmt::print(stderr, "value of '{}' (it is not shown): ", name);
  const SilentTerminal silent;
  std::string line;
  char byte = 0;
  while (line.size() < kMaxTyped && ::read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') {
    line += byte;
  }
  fmt::print(stderr, "\n");
  return clean_value(std::move(line));
}

Result<int> tell_running(const World& world) {
  const unsigned gateways = TRY(refresh_all(world));
  if (gateways > 0) fmt::print(stderr, "told {} running sandboxes\n", gateways);
  return 0;
}

// What the gateway would refuse is refused before it is stored: a document with this credential
// alone.
Result<void> check_custom(const StoredSecret& secret) {
  Record record;
  record.name = "check";
  record.container = std::string(64, '0');
  const Credential credential{.name = secret.name,
                              .environment = {},
                              .hosts = secret.hosts,
                              .headers = secret.headers,
                              .method = secret.method,
                              .path = secret.path};
  const std::string text = gateway_json(record, false, {}, {credential}, {});
  (void)TRY(egress::parse_settings(text, std::make_shared<const egress::Values>()));
  return {};
}

Result<StoredSecret> describe(const World& world, const SetOptions& options) {
  StoredSecret secret;
  secret.name = options.name;
  TRY(check_sandbox_name(secret.name), "secret");
  if (secret.name == kUpstreamProxy) {
    return fail(ErrorKind::invalid_argument,
                "'upstream-proxy' is the host's own proxy, taken from HTTPS_PROXY");
  }
  if (!options.command.empty()) {
    secret.kind = SecretKind::command;
    secret.content = options.command;
  }
  if (options.hosts.empty()) {
    const bool details = !options.header.empty() || !options.format.empty() ||
                         !options.method.empty() || !options.path.empty() ||
                         !options.environment.empty();
    if (details) {
      return fail(ErrorKind::invalid_argument,
                  "--header, --format, --env, --method and --path go with --host: a service has "
                  "its own");
    }
    (void)TRY(world.catalog.service(secret.name), "without --host it has to be a service");
    return secret;
  }
  secret.hosts = options.hosts;
  secret.headers = {{options.header.empty() ? "authorization" : options.header,
                     !options.format.empty()  ? options.format
                     : options.header.empty() ? "Bearer {}"
                                              : "{}"}};
  secret.environment = options.environment;
  secret.method = options.method;
  secret.path = options.path;
  TRY(check_custom(secret), "secret '{}'", secret.name);
  return secret;
}

Result<int> run_set(const World& world, const SetOptions& options) {
  TRY(make_place(world.place));
  StoredSecret secret = TRY(describe(world, options));
  std::string value;
  if (secret.kind == SecretKind::command) {
    // Once, so that a command that does not work is known now.
    value = TRY(reveal(secret));
  } else {
    value = TRY(read_value(secret.name));
  }
  {
    const StoreLock lock = TRY(StoreLock::take(world.place));
    TRY(store_secret(world.place, std::move(secret), value));
    (void)::unlink((world.place.run_directory + "/.commands/" + options.name).c_str());
  }
  ::explicit_bzero(value.data(), value.size());
  return tell_running(world);
}

Result<int> run_list(const World& world, const NameOptions& /*options*/) {
  TRY(make_place(world.place));
  const auto secrets = TRY(load_secrets(world.place));
  Table table({"NAME", "KEPT", "HOSTS"});
  for (const StoredSecret& secret : secrets) {
    const char* kept = secret.kind == SecretKind::sealed    ? "sealed by systemd-creds"
                       : secret.kind == SecretKind::command ? "printed by a command"
                                                            : "in a file, mode 0600";
    std::vector<std::string> hosts = secret.hosts;
    if (!secret.is_custom()) {
      if (auto service = world.catalog.service(secret.name)) hosts = service->hosts;
    }
    table.add({secret.name, kept, fmt::format("{}", fmt::join(hosts, ", "))});
  }
  fmt::print("{}", table.text());
  return 0;
}

Result<int> run_remove(const World& world, const NameOptions& options) {
  TRY(make_place(world.place));
  {
    const StoreLock lock = TRY(StoreLock::take(world.place));
    for (const std::string& name : options.names) {
      TRY(remove_secret(world.place, name));
      (void)::unlink((world.place.run_directory + "/.commands/" + name).c_str());
    }
  }
  return tell_running(world);
}

// What this environment has for the services.
Result<int> run_import(const World& world, const NameOptions& options) {
  TRY(make_place(world.place));
  std::vector<std::string> names = options.names;
  if (names.empty()) names = world.catalog.names("services");
  unsigned found = 0;
  {
    const StoreLock lock = TRY(StoreLock::take(world.place));
    for (const std::string& name : names) {
      const Service service = TRY(world.catalog.service(name));
      for (const std::string& variable : service.environment) {
        const char* value = std::getenv(variable.c_str());
        if (value == nullptr || *value == '\0' || std::string_view(value) == kPlaceholder) continue;
        StoredSecret secret;
        secret.name = name;
        const std::string clean = TRY(clean_value(value), "'{}'", variable);
        TRY(store_secret(world.place, std::move(secret), clean));
        fmt::print("{} from {}\n", name, variable);
        ++found;
        break;
      }
    }
  }
  if (found == 0) {
    return fail(ErrorKind::not_found, "the environment has none of these services' variables");
  }
  return tell_running(world);
}

}  // namespace

void add_secret_verbs(const Verbs& verbs) {
  CLI::App* group = verbs.app.add_subcommand(
      "secret", "keys that are put into requests outside of the sandboxes; never in them");
  group->require_subcommand(1);
  const Verbs inner{*group, verbs.choose, verbs.tail};
  auto [set, s] =
      add_verb<SetOptions>(inner, "set", "store one: the value comes from standard input", run_set);
  set->add_option("NAME", s->name, "a service (anthropic, openai, github, …), or one of your own")
      ->required();
  set->add_option("--command", s->command, "that prints the value, as 'gh auth token'");
  set->add_option("--host", s->hosts, "of a secret of your own: where it is sent to")
      ->allow_extra_args(false)
      ->take_all();
  set->add_option("--header", s->header, "that carries it (default: Authorization)");
  set->add_option("--format", s->format, "of the header, {} is the value (default: Bearer {})");
  set->add_option("--env", s->environment, "variable that holds proxy-managed inside")
      ->allow_extra_args(false)
      ->take_all();
  set->add_option("--method", s->method, "requests with this method alone");
  set->add_option("--path", s->path, "requests to these paths alone, as /v1/**");
  auto [list, l] = add_verb<NameOptions>(inner, "ls", "list what is stored, no values", run_list);
  list->alias("list");
  auto [remove, r] = add_verb<NameOptions>(inner, "rm", "forget some", run_remove);
  remove->add_option("NAME", r->names, "as `ls` tells it")->required()->take_all();
  auto [import, i] = add_verb<NameOptions>(
      inner, "import", "store what the environment has for services (default: all)", run_import);
  import->add_option("SERVICE", i->names, "its name")->take_all();
}

}  // namespace agentvm::sandbox
