#include <fmt/format.h>

#include <algorithm>

#include "egress/gateway/judge.h"
#include "egress/settings.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "sandbox/cli/decision_log.h"
#include "sandbox/cli/table.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/life.h"
#include "sandbox/store/control.h"

namespace agentvm::sandbox {

namespace {

struct PolicyOptions {
  std::string sandbox;  // "": all
  std::string preset;
  std::vector<std::string> targets;
  std::string method;
  std::string path;
  bool json = false;
};

struct RuleOptions : PolicyOptions {
  bool allow = true;
};

struct CheckOptions {
  std::string sandbox;
  std::string target;
  std::string method;
  std::string path;
};

struct LogOptions {
  std::string sandbox;
  bool follow = false;
  bool json = false;
  bool denied = false;
};

// Told after a change: what it reached.
Result<int> tell_running(const World& world) {
  const unsigned gateways = TRY(refresh_all(world));
  if (gateways > 0) fmt::print(stderr, "told {} running sandboxes\n", gateways);
  return 0;
}

// Changes the rules of one sandbox, or of all.
template <class Change>
Result<int> change_rules(const World& world, const std::string& sandbox, Change change) {
  TRY(make_place(world.place));
  {
    const StoreLock lock = TRY(StoreLock::take(world.place));
    if (sandbox.empty()) {
      UserPolicy policy = TRY(load_user_policy(world.place));
      TRY(change(policy.rules));
      TRY(store_user_policy(world.place, policy));
    } else {
      Record record = TRY(load_record(world.place, sandbox));
      TRY(change(record.rules));
      TRY(store_record(world.place, record));
    }
  }
  return tell_running(world);
}

Result<int> run_init(const World& world, const PolicyOptions& options) {
  TRY(make_place(world.place));
  const Preset preset = TRY(world.catalog.preset(options.preset));
  {
    const StoreLock lock = TRY(StoreLock::take(world.place));
    if (options.sandbox.empty()) {
      UserPolicy policy = TRY(load_user_policy(world.place));
      policy.preset = preset.name;
      TRY(store_user_policy(world.place, policy));
      fmt::print("new sandboxes begin with policy {}: {}\n", preset.name, preset.description);
      return 0;
    }
    Record record = TRY(load_record(world.place, options.sandbox));
    record.preset = preset.name;
    record.agent_hosts = preset.agent_hosts;
    TRY(store_record(world.place, record));
  }
  return tell_running(world);
}

Result<int> run_rule(const World& world, const RuleOptions& options) {
  std::vector<RuleText> added;
  for (const std::string& target : options.targets) {
    RuleText rule{options.allow, target, options.method, options.path};
    TRY(check_rule(rule));
    added.push_back(std::move(rule));
  }
  return change_rules(world, options.sandbox, [&](std::vector<RuleText>& rules) -> Result<void> {
    for (const RuleText& rule : added) {
      if (std::ranges::find(rules, rule) == rules.end()) rules.push_back(rule);
    }
    return {};
  });
}

Result<int> run_remove(const World& world, const PolicyOptions& options) {
  return change_rules(world, options.sandbox, [&](std::vector<RuleText>& rules) -> Result<void> {
    for (const std::string& target : options.targets) {
      const auto removed = std::erase_if(rules, [&](const RuleText& rule) {
        return rule.target == target && (options.method.empty() || rule.method == options.method) &&
               (options.path.empty() || rule.path == options.path);
      });
      if (removed == 0) {
        return fail(ErrorKind::not_found,
                    fmt::format("{} has no rule about '{}' (agentvm sandbox policy ls)",
                                options.sandbox.empty() ? "the policy of all sandboxes"
                                                        : "sandbox '" + options.sandbox + "'",
                                target));
      }
    }
    return {};
  });
}

Result<int> run_list(const World& world, const PolicyOptions& options) {
  const UserPolicy user = TRY(load_user_policy(world.place));
  std::vector<RuleLayer> layers;
  std::string preset = user.preset;
  if (options.sandbox.empty()) {
    const Preset loaded = TRY(world.catalog.preset(preset));
    layers = {{"preset " + preset, loaded.rules}, {"user", user.rules}};
  } else {
    const Record record = TRY(load_record(world.place, options.sandbox));
    const Preset loaded = TRY(world.catalog.preset(record.preset));
    layers = rule_layers(record, loaded, TRY(world.catalog.agent(record.agent)), user);
    preset = record.preset;
  }
  const bool allows = TRY(world.catalog.preset(preset)).allows;
  if (options.json) {
    JsonWriter json(2);
    json.begin_object().key("preset").value(preset);
    json.key("default").value(allows ? "allow" : "deny").key("layers").begin_array();
    for (const RuleLayer& layer : layers) {
      json.begin_object().key("name").value(layer.name).key("rules");
      write_json(json, layer.rules);
      json.end_object();
    }
    fmt::print("{}\n", json.end_array().end_object().take());
    return 0;
  }
  Table table({"LAYER", "VERDICT", "TARGET", "METHOD", "PATH"});
  for (const RuleLayer& layer : layers) {
    for (const RuleText& rule : layer.rules) {
      table.add({layer.name, rule.allow ? "allow" : "deny", rule.target, rule.method, rule.path});
    }
  }
  table.add({"default", allows ? "allow" : "deny", "*", "", ""});
  fmt::print("{}", table.text());
  return 0;
}

Result<CheckQuestion> parse_question(const CheckOptions& options) {
  const egress::Target target = TRY(egress::parse_target(options.target));
  CheckQuestion question;
  question.method = options.method;
  question.path = options.path;
  question.port = target.port.value_or(443);
  switch (target.scope) {
    case egress::Scope::exact:
      question.host = target.name;
      return question;
    case egress::Scope::network:
      if (target.network.prefix == 128) {
        question.host = egress::to_text(target.network.address);
        return question;
      }
      [[fallthrough]];
    case egress::Scope::any:
    case egress::Scope::one_label:
    case egress::Scope::any_depth:
      return fail(
          ErrorKind::invalid_argument,
          fmt::format("'{}' is not one host: name what would be connected to", options.target));
  }
  return question;
}

// As the gateway would decide by the file that it reads at its start.
Result<CheckAnswer> decide(const World& world, const std::string& sandbox,
                           const CheckQuestion& question) {
  const std::string text = TRY(load_file(world.place.of(sandbox) + "/gateway.json"));
  const auto settings =
      TRY(egress::parse_settings(text, std::make_shared<const egress::Values>()), "gateway.json");
  egress::Peer peer{.name = question.host, .address = std::nullopt, .port = question.port};
  if (auto address = egress::parse_address(question.host)) {
    peer.name = "";
    peer.address = *address;
  }
  egress::Decision decision = settings.decide_connection(peer);
  if (decision.verdict == egress::Verdict::inspect && !question.path.empty()) {
    decision = settings.policy.decide_request(
        peer, question.method.empty() ? "GET" : question.method, question.path);
  }
  CheckAnswer answer;
  answer.verdict = decision.verdict == egress::Verdict::deny    ? "deny"
                   : decision.verdict == egress::Verdict::allow ? "allow"
                                                                : "inspect";
  answer.reason = egress::reason_of(decision, peer.address ? &*peer.address : nullptr);
  if (decision.rule != nullptr) {
    answer.rule = decision.rule->text;
    answer.layer = decision.rule->layer;
  }
  return answer;
}

Result<int> run_check(const World& world, const CheckOptions& options) {
  const Record record = TRY(load_record(world.place, options.sandbox));
  const CheckQuestion question = TRY(parse_question(options));
  auto running = TRY(ask_check(world.place, record.name, question));
  const CheckAnswer answer =
      running ? *std::move(running) : TRY(decide(world, record.name, question));
  fmt::print("{}: {}", harmless(answer.verdict), harmless(answer.reason));
  if (!answer.layer.empty()) fmt::print(" (layer '{}')", harmless(answer.layer));
  fmt::print("\n");
  return answer.verdict == "deny" ? 1 : 0;
}

Result<int> run_log(const World& world, const LogOptions& options) {
  const Record record = TRY(load_record(world.place, options.sandbox));
  DecisionLogOrder order;
  order.directory = world.place.of(record.name) + "/log";
  order.follow = options.follow;
  order.json = options.json;
  order.only_denied = options.denied;
  TRY(print_decisions(order));
  return 0;
}

void add_sandbox(CLI::App* verb, std::string& sandbox, const char* otherwise) {
  verb->add_option("--sandbox,-s", sandbox, otherwise);
}

void add_rule_verb(const Verbs& inner, const char* name, bool allow, const char* description) {
  auto [verb, o] = add_verb<RuleOptions>(inner, name, description, run_rule);
  o->allow = allow;
  verb->add_option("TARGET", o->targets,
                   "example.com, *.x (one label), **.x (any), HOST:PORT, an address or network, *")
      ->required()
      ->take_all();
  verb->add_option("--method", o->method, "requests with this method alone");
  verb->add_option("--path", o->path, "requests to these paths alone, as /repos/**");
  add_sandbox(verb, o->sandbox, "of this one (default: of all)");
}

}  // namespace

void add_policy_verbs(const Verbs& verbs) {
  CLI::App* group =
      verbs.app.add_subcommand("policy", "what sandboxes may reach; holds at once where they run");
  group->require_subcommand(1);
  const Verbs inner{*group, verbs.choose, verbs.tail};
  auto [init, i] = add_verb<PolicyOptions>(
      inner, "init", "choose a preset: allow-all, balanced, deny-all, or yours", run_init);
  init->add_option("PRESET", i->preset, "its name")->required();
  add_sandbox(init, i->sandbox, "of this one (default: of new ones)");
  add_rule_verb(inner, "allow", true, "allow hosts");
  add_rule_verb(inner, "deny", false, "deny hosts, before any allow");
  auto [remove, r] = add_verb<PolicyOptions>(inner, "rm", "take rules back", run_remove);
  remove->add_option("TARGET", r->targets, "as `ls` tells it")->required()->take_all();
  remove->add_option("--method", r->method, "only the rule with this one");
  remove->add_option("--path", r->path, "only the rule with this one");
  add_sandbox(remove, r->sandbox, "of this one (default: of all)");
  auto [list, l] = add_verb<PolicyOptions>(inner, "ls", "list the rules", run_list);
  add_sandbox(list, l->sandbox, "that hold for this one (default: for new ones)");
  list->add_flag("--json", l->json, "as JSON");
  auto [check, c] =
      add_verb<CheckOptions>(inner, "check", "which rule decides; status 1 for no", run_check);
  check->add_option("SANDBOX", c->sandbox, "its name")->required();
  check->add_option("HOST", c->target, "HOST[:PORT] or an address (port 443)")->required();
  check->add_option("--method", c->method, "of a request");
  check->add_option("--path", c->path, "of a request");
  auto [log, g] = add_verb<LogOptions>(inner, "log", "what was allowed and denied", run_log);
  log->add_option("SANDBOX", g->sandbox, "its name")->required();
  log->add_flag("--follow,-f", g->follow, "go on with what is decided");
  log->add_flag("--json", g->json, "as it is kept: an object a line");
  log->add_flag("--denied", g->denied, "denials alone");
}

}  // namespace agentvm::sandbox
