#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/try.h"
#include "sandbox/cli/session_verbs.h"
#include "sandbox/cli/sizes.h"
#include "sandbox/cli/table.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/engine/container_request.h"

namespace agentvm::sandbox {

namespace {

struct ListOptions {
  std::vector<std::string> names;
  bool json = false;
  bool quiet = false;
};

struct Listed {
  Record record;
  std::string status;  // Docker's, or "lost": its container is gone
  std::vector<PublishedPort> ports;
};

Result<std::vector<Listed>> list_all(const World& world, const Docker& docker) {
  const auto containers = TRY(docker.list(kLabel));
  std::vector<Listed> all;
  for (const std::string& name : TRY(sandbox_names(world.place))) {
    auto record = load_record(world.place, name);
    if (!record && record.error().kind == ErrorKind::not_found) continue;  // being made just now
    if (!record) return std::unexpected(std::move(record).error());
    Listed listed{*std::move(record), "lost", {}};
    const auto found = std::ranges::find(containers, listed.record.container, &ContainerView::id);
    if (found != containers.end()) {
      listed.status = found->status;
      listed.ports = found->ports;
    }
    all.push_back(std::move(listed));
  }
  return all;
}

std::string port_text(const PublishedPort& port) {
  return fmt::format("{}:{}->{}", port.host_ip, port.host_port, port.container);
}

std::string ports_text(const std::vector<PublishedPort>& ports) {
  std::vector<std::string> texts;
  for (const PublishedPort& port : ports) texts.push_back(port_text(port));
  return fmt::format("{}", fmt::join(texts, ", "));
}

void write_listed(JsonWriter& json, const Listed& listed) {
  const Record& record = listed.record;
  json.begin_object().key("name").value(record.name).key("agent").value(record.agent);
  json.key("status").value(listed.status).key("image").value(record.image);
  json.key("container").value(record.container).key("created").value(record.created);
  json.key("workspaces");
  write_json(json, record.workspaces);
  json.key("policy").value(record.preset);
  json.key("ports").begin_array();
  for (const PublishedPort& port : listed.ports) json.value(port_text(port));
  json.end_array().end_object();
}

Result<int> run_list(const World& world, const ListOptions& options) {
  const Docker docker = TRY(connect_docker(world));
  const auto all = TRY(list_all(world, docker));
  if (options.quiet) {
    for (const Listed& listed : all) fmt::print("{}\n", listed.record.name);
    return 0;
  }
  if (options.json) {
    JsonWriter json(2);
    json.begin_array();
    for (const Listed& listed : all) write_listed(json, listed);
    fmt::print("{}\n", json.end_array().take());
    return 0;
  }
  Table table({"NAME", "AGENT", "STATUS", "WORKSPACE", "POLICY", "PORTS"});
  for (const Listed& listed : all) {
    const Record& record = listed.record;
    table.add({record.name, record.agent, listed.status,
               record.workspaces.empty() ? "-" : record.workspaces.front().path, record.preset,
               ports_text(listed.ports)});
  }
  fmt::print("{}", table.text());
  return 0;
}

Result<int> run_inspect(const World& world, const ListOptions& options) {
  const Docker docker = TRY(connect_docker(world));
  JsonWriter json(2);
  json.begin_array();
  for (const std::string& name : options.names) {
    const Record record = TRY(load_record(world.place, name));
    const auto view = docker.inspect(record.container);
    json.begin_object();
    json.key("status").value(view ? view->status : "lost");
    json.key("sandbox");
    write_json(json, record);
    json.key("ports").begin_array();
    if (view) {
      for (const PublishedPort& port : view->ports) json.value(port_text(port));
    }
    json.end_array().end_object();
  }
  fmt::print("{}\n", json.end_array().take());
  return 0;
}

Result<int> run_ports(const World& world, const ListOptions& options) {
  const Docker docker = TRY(connect_docker(world));
  for (const std::string& name : options.names) {
    const Record record = TRY(load_record(world.place, name));
    for (const PublishedPort& port : TRY(container_of(docker, record)).ports) {
      fmt::print("{}\n", port_text(port));
    }
  }
  return 0;
}

struct Usage {
  std::uint64_t cpu_ns = 0;
  std::uint64_t memory = 0;
  std::uint64_t limit = 0;
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
};

// GET /containers/ID/stats; what is not there stays 0.
Result<Usage> parse_usage(std::string_view json) {
  const JsonDocument document = TRY(JsonDocument::parse(json));
  Usage usage;
  if (const auto cpu = document.root().find("cpu_stats")) {
    if (const auto total = cpu->find("cpu_usage")) {
      JsonObject object(*total);
      object.optional("total_usage", usage.cpu_ns);
      TRY(object.done());
    }
  }
  if (const auto memory = document.root().find("memory_stats")) {
    JsonObject object(*memory);
    object.optional("usage", usage.memory);
    object.optional("limit", usage.limit);
    TRY(object.done());
  }
  const auto networks = document.root().find("networks");
  for (std::size_t i = 0; networks && i < networks->size(); ++i) {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    JsonObject object(networks->item(i));
    object.optional("rx_bytes", received);
    object.optional("tx_bytes", sent);
    TRY(object.done());
    usage.received += received;
    usage.sent += sent;
  }
  return usage;
}

Result<int> run_stats(const World& world, const ListOptions& options) {
  const Docker docker = TRY(connect_docker(world));
  Table table({"NAME", "CPU TIME", "MEMORY", "RECEIVED", "SENT"});
  JsonWriter json(2);
  json.begin_array();
  for (const Listed& listed : TRY(list_all(world, docker))) {
    const std::string& name = listed.record.name;
    const bool asked = options.names.empty()
                           ? listed.status == "running"
                           : std::ranges::find(options.names, name) != options.names.end();
    if (!asked) continue;
    const std::string answer = TRY(docker.stats_json(listed.record.container), "'{}'", name);
    const Usage usage = TRY(parse_usage(answer), "'{}'", name);
    table.add({name, fmt::format("{:.1f} s", static_cast<double>(usage.cpu_ns) / 1e9),
               fmt::format("{} of {}", size_text(usage.memory), size_text(usage.limit)),
               size_text(usage.received), size_text(usage.sent)});
    json.begin_object().key("name").value(name).key("cpu_ns").value(usage.cpu_ns);
    json.key("memory").value(usage.memory).key("memory_limit").value(usage.limit);
    json.key("received").value(usage.received).key("sent").value(usage.sent).end_object();
  }
  fmt::print("{}", options.json ? json.end_array().take() + "\n" : table.text());
  return 0;
}

}  // namespace

void add_list_verbs(const Verbs& verbs) {
  auto [list, l] = add_verb<ListOptions>(verbs, "ls", "list the sandboxes", run_list);
  list->alias("list");
  list->add_flag("--json", l->json, "as JSON");
  list->add_flag("--quiet,-q", l->quiet, "names only");
  auto [inspect, i] =
      add_verb<ListOptions>(verbs, "inspect", "all that is known of some, as JSON", run_inspect);
  inspect->add_option("NAME", i->names, "of the sandbox")->required()->take_all();
  auto [ports, p] = add_verb<ListOptions>(verbs, "ports", "list published ports", run_ports);
  ports->add_option("NAME", p->names, "of the sandbox")->required()->take_all();
  auto [stats, s] = add_verb<ListOptions>(
      verbs, "stats", "what sandboxes use of this host (default: those that run)", run_stats);
  stats->add_option("NAME", s->names, "of the sandbox")->take_all();
  stats->add_flag("--json", s->json, "as JSON");
}

}  // namespace agentvm::sandbox
