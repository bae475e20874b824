// What the gateway of a sandbox costs, between network namespaces: prints one JSON object of
// figures for bench/parts/gateway.sh. Needs root, iproute2, nftables and iperf3.
//
//   bench-gateway [SECONDS]   of each stream; the median of five, turn by turn
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <tuple>

#include "egress/settings.h"
#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::egress {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHost = "93.184.216.34";
constexpr int kTurns = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

double number_in(const std::string& reply, std::string_view member) {
  const auto document = JsonDocument::parse(reply);
  const auto value = document ? document->root().find(member) : std::nullopt;
  return value ? value->as_real().value_or(-1) : -1;
}

std::vector<std::string> thousand_rules() {
  std::vector<std::string> rules{"allow 93.184.216.34"};
  for (int i = 0; i < 333; ++i) {
    rules.push_back(fmt::format("allow **.host{}.test:443", i));
    rules.push_back(fmt::format("deny 10.{}.{}.0/24", i / 256, i % 256));
    rules.push_back(fmt::format("allow api{}.test GET /repos/*/file{}/**", i, i));
  }
  return rules;
}

using Figures = std::map<std::string, double>;

void time_decisions(const World::Options& options, Figures& figures) {
  const auto settings =
      parse_settings(World::settings(options), std::make_shared<Values>()).value();
  const Address address = parse_address(kHost).value();
  constexpr int kRounds = 100'000;
  auto start = Clock::now();
  int allowed = 0;
  for (int i = 0; i < kRounds; ++i) {
    const Peer peer{"a.deep.name.below.host77.test", address, 443};
    allowed += settings.decide_connection(peer).verdict == Verdict::allow ? 1 : 0;
  }
  figures["decision_us"] = seconds_since(start) * 1e6 / kRounds;
  start = Clock::now();
  for (int i = 0; i < kRounds; ++i) {
    const Peer peer{"api77.test", address, 443};
    const Decision decision = settings.policy.decide_request(peer, "GET", "/repos/me/file77/a/b");
    allowed += decision.verdict == Verdict::allow ? 1 : 0;
  }
  figures["request_us"] = seconds_since(start) * 1e6 / kRounds;
  if (allowed != 2 * kRounds) std::exit(1);
}

void time_updates(const World& world, const World::Options& options, Figures& figures) {
  std::vector<double> inside;
  std::vector<double> whole;
  for (int i = 0; i < 21; ++i) {
    const auto start = Clock::now();
    const std::string reply = world.update(options);
    whole.push_back(seconds_since(start) * 1e3);
    inside.push_back(number_in(reply, "microseconds") / 1e3);
  }
  figures["update_ms"] = median(inside);
  figures["update_answered_ms"] = median(whole);
}

double weigh(const World& world) {
  std::vector<GuestSocket> sockets;
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 200; ++i) {
    sockets.push_back(world.connect(kHost, 7000));
    sockets.back().send(piece);
  }
  for (const GuestSocket& socket : sockets) (void)socket.receive(piece.size());
  return number_in(world.control(R"({"op":"status"})"), "peak_memory_kib");
}

// Milliseconds for a connection and its first byte, and for a byte there and back.
std::pair<double, double> time_bytes(const World& world) {
  std::vector<double> connects;
  std::vector<double> trips;
  for (int i = 0; i < 50; ++i) {
    auto start = Clock::now();
    const GuestSocket socket = world.connect(kHost, 7000);
    socket.send("x");
    (void)socket.receive(1);
    connects.push_back(seconds_since(start) * 1e3);
    for (int j = 0; j < 20; ++j) {
      start = Clock::now();
      socket.send("x");
      (void)socket.receive(1);
      trips.push_back(seconds_since(start) * 1e3);
    }
  }
  return {median(connects), median(trips)};
}

double stream(const World& world, int seconds, bool from_server) {
  std::vector<std::string> argv{"iperf3", "-J", "-c", kHost, "-t", std::to_string(seconds)};
  if (from_server) argv.emplace_back("-R");
  const std::string reply = world.run(argv).out;
  const auto document = JsonDocument::parse(reply);
  if (!document) return -1;
  const auto end = document->root().find("end");
  const auto sum = end ? end->find("sum_received") : std::nullopt;
  const auto bits = sum ? sum->find("bits_per_second") : std::nullopt;
  return bits ? bits->as_real().value_or(-1) / 1e6 : -1;
}

void time_streams(const World& world, int seconds, Figures& figures) {
  std::map<std::string, std::vector<double>> streams;
  for (int i = 0; i < kTurns; ++i) {
    for (const char* way : {"", "_straight"}) {
      const bool straight = *way != 0;
      if (straight) world.redirect(false);
      streams[fmt::format("to_world{}_mbit", way)].push_back(stream(world, seconds, false));
      streams[fmt::format("from_world{}_mbit", way)].push_back(stream(world, seconds, true));
      if (straight) world.redirect(true);
    }
  }
  for (const auto& [name, values] : streams) figures[name] = median(values);
}

bool measure(int seconds, Figures& figures) {
  World world;
  world.add_address("93.184.216.34/32");
  const EchoServer echo(world.outside(), kHost, 7000);
  const e2e::Background server(
      {"nsenter", "--net=" + world.outside(), "iperf3", "-s", "-B", kHost});
  const World::Options options{.rules = thousand_rules()};
  if (const std::string said = world.start(options); said != "ready\n") {
    fmt::print(stderr, "{}", said);
    return false;
  }
  time_decisions(options, figures);
  time_updates(world, options, figures);
  time_streams(world, seconds, figures);
  std::tie(figures["connect_ms"], figures["trip_ms"]) = time_bytes(world);
  figures["memory_200_kib"] = weigh(world);
  world.redirect(false);
  std::tie(figures["connect_straight_ms"], figures["trip_straight_ms"]) = time_bytes(world);
  return true;
}

}  // namespace
}  // namespace agentvm::egress

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::map<std::string, double> figures;
  const bool done = agentvm::egress::measure(argc > 1 ? std::atoi(argv[1]) : 2, figures);
  fmt::print("{}\n", agentvm::write_json(figures));
  return done && !testing::Test::HasFailure() ? 0 : 1;
}
