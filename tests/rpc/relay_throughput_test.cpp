// Every kind of source with every kind of sink: all bytes arrive in order, and the end does.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <optional>

#include "rpc/stream_relay.h"
#include "tests/rpc/loop.h"
#include "tests/rpc/relay_ends.h"

namespace agentvm::rpc {
namespace {

enum class Kind { pipe, socket, blocking_socket };
constexpr Kind kKinds[] = {Kind::pipe, Kind::socket, Kind::blocking_socket};

Ends make_ends(Kind kind, bool source) {
  if (kind == Kind::pipe) return source ? source_pipe() : sink_pipe();
  return socket_ends(kind == Kind::socket);
}

std::string name_of_kind(Kind kind) {
  switch (kind) {
    case Kind::pipe:
      return "Pipe";
    case Kind::socket:
      return "Socket";
    case Kind::blocking_socket:
      return "BlockingSocket";
  }
  return "";
}

class RelayBetween : public testing::TestWithParam<std::tuple<Kind, Kind>> {};

TEST_P(RelayBetween, BringsAHundredMegabytesInOrderToTheEnd) {
  constexpr std::uint64_t kTotal = 100'000'003;
  Ends from = make_ends(std::get<0>(GetParam()), true);
  Ends to = make_ends(std::get<1>(GetParam()), false);
  const int flags_from = ::fcntl(from.near.get(), F_GETFL);
  const int flags_to = ::fcntl(to.near.get(), F_GETFL);
  const Writer writer(std::move(from.far), kTotal);
  Reader reader(std::move(to.far));
  asio::io_context io;
  const auto started = std::chrono::steady_clock::now();
  const auto copied = run_to_end(io, relay(from.near.get(), to.near.get()));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  ASSERT_TRUE(copied) << copied.error().text();
  EXPECT_EQ(*copied, kTotal);
  EXPECT_EQ(::fcntl(from.near.get(), F_GETFL), flags_from);
  EXPECT_EQ(::fcntl(to.near.get(), F_GETFL), flags_to);
  // A pipe's end is the caller's to pass on.
  if (std::get<1>(GetParam()) == Kind::pipe) to.near.reset();
  EXPECT_EQ(reader.received(), kTotal);
  RecordProperty("MBps", fmt::format("{:.0f}", static_cast<double>(kTotal) / 1e6 / took.count()));
}

INSTANTIATE_TEST_SUITE_P(All, RelayBetween,
                         testing::Combine(testing::ValuesIn(kKinds), testing::ValuesIn(kKinds)),
                         [](const auto& row) {
                           return name_of_kind(std::get<0>(row.param)) + "And" +
                                  name_of_kind(std::get<1>(row.param));
                         });

UniqueFd temporary_file() {
  std::string pattern = "/tmp/agentvm-relay-XXXXXX";
  UniqueFd fd(::mkostemp(pattern.data(), O_CLOEXEC));
  ::unlink(pattern.c_str());
  return fd;
}

class RelayFile : public testing::TestWithParam<Kind> {};

TEST_P(RelayFile, IsReadToItsEnd) {
  constexpr std::uint64_t kTotal = 500'001;
  const UniqueFd file = temporary_file();
  ASSERT_TRUE(sys::write_all(file.get(), sequence(0, kTotal)));
  ::lseek(file.get(), 0, SEEK_SET);
  Ends to = make_ends(GetParam(), false);
  Reader reader(std::move(to.far));
  asio::io_context io;
  const auto copied = run_to_end(io, relay(file.get(), to.near.get()));
  EXPECT_EQ(copied, kTotal);
  to.near.reset();
  EXPECT_EQ(reader.received(), kTotal);
}

TEST_P(RelayFile, IsWrittenWhole) {
  constexpr std::uint64_t kTotal = 500'001;
  const UniqueFd file = temporary_file();
  Ends from = make_ends(GetParam(), true);
  const Writer writer(std::move(from.far), kTotal);
  asio::io_context io;
  const auto copied = run_to_end(io, relay(from.near.get(), file.get()));
  EXPECT_EQ(copied, kTotal);
  ::lseek(file.get(), 0, SEEK_SET);
  const auto content = sys::read_all(file.get(), kTotal + 1);
  EXPECT_TRUE(*content == sequence(0, kTotal));
}

TEST_P(RelayFile, MayBeTheNullDevice) {
  constexpr std::uint64_t kTotal = 500'001;
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  Ends from = make_ends(GetParam(), true);
  const Writer writer(std::move(from.far), kTotal);
  asio::io_context io;
  EXPECT_EQ(run_to_end(io, relay(from.near.get(), null.get())), kTotal);

  Ends to = make_ends(GetParam(), false);
  Reader reader(std::move(to.far));
  io.restart();
  EXPECT_EQ(run_to_end(io, relay(null.get(), to.near.get())), 0u);
  to.near.reset();
  EXPECT_EQ(reader.received(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, RelayFile, testing::ValuesIn(kKinds),
                         [](const auto& row) { return name_of_kind(row.param); });

}  // namespace
}  // namespace agentvm::rpc
