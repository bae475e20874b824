#include "shim/event_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "oci/base/sys.h"
#include "rpc/containerd/events.pb.h"
#include "rpc/payload.h"
#include "rpc/server.h"
#include "tests/temp_dir.h"

namespace agentvm::shim {
namespace {

// containerd's end: it takes events, or refuses them, or is not there.
class Receiver {
 public:
  Receiver(asio::io_context& io, const std::string& path) : io_(io), path_(path) {
    server_.handle("containerd.services.events.ttrpc.v1.Events", "Forward",
                   [this](rpc::CallContext&, std::string payload) { return take(payload); });
    auto directory = sys::open_at(AT_FDCWD, path_.parent_path().string(), O_RDONLY | O_DIRECTORY);
    listener_ = std::move(*sys::listen_unix_at(directory->get(), path_.filename().string(), 0600));
    asio::co_spawn(io_, accept(), asio::detached);
  }

  std::vector<std::string> topics;
  std::vector<containerd::types::Envelope> envelopes;
  Result<void> answer;

 private:
  Task<std::string> take(std::string payload) {
    containerd::events::ForwardRequest request;
    EXPECT_TRUE(rpc::deserialize(payload, request));
    topics.push_back(request.envelope().topic());
    envelopes.push_back(request.envelope());
    if (!answer) co_return std::unexpected(answer.error());
    co_return std::string();
  }
  asio::awaitable<void> accept() {
    for (;;) {
      if (auto ready = co_await wait_readable(listener_.get()); !ready) co_return;
      UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (connection)
        agentvm::spawn<void>(io_.get_executor(), server_.serve(std::move(connection)));
    }
  }

  asio::io_context& io_;
  std::filesystem::path path_;
  UniqueFd listener_;
  rpc::Server server_;
};

containerd::events::TaskStart event(std::uint32_t pid) {
  containerd::events::TaskStart out;
  out.set_container_id("web");
  out.set_pid(pid);
  return out;
}

bool drain(asio::io_context& io, EventPublisher& events, std::chrono::milliseconds patience) {
  bool drained = false;
  asio::co_spawn(
      io,
      [](EventPublisher& of, std::chrono::milliseconds within, bool& out,
         asio::io_context& loop) -> asio::awaitable<void> {
        out = co_await of.drain(within);
        loop.stop();
      }(events, patience, drained, io),
      asio::detached);
  io.restart();
  io.run_for(std::chrono::seconds(30));
  return drained;
}

TEST(EventPublisher, SendsInOrderAndInContainerdsEnvelope) {
  const TempDir scratch;
  asio::io_context io(1);
  Receiver receiver(io, scratch / "c.sock.ttrpc");
  EventPublisher events(io.get_executor(), "unix://" + scratch / "c.sock.ttrpc", "moby");
  for (std::uint32_t i = 0; i < 5; ++i) {
    events.publish("/tasks/" + std::to_string(i), "containerd.events.TaskStart", event(i));
  }
  EXPECT_TRUE(drain(io, events, std::chrono::seconds(20)));
  EXPECT_THAT(receiver.topics,
              testing::ElementsAre("/tasks/0", "/tasks/1", "/tasks/2", "/tasks/3", "/tasks/4"));
  const auto& envelope = receiver.envelopes.at(3);
  EXPECT_EQ(envelope.namespace_(), "moby");
  EXPECT_EQ(envelope.event().type_url(), "containerd.events.TaskStart");
  EXPECT_GT(envelope.timestamp().seconds(), 1'600'000'000);
  containerd::events::TaskStart start;
  ASSERT_TRUE(rpc::deserialize(envelope.event().value(), start));
  EXPECT_EQ(start.pid(), 3U);
}

TEST(EventPublisher, KeepsEventsForAContainerdThatIsNotThere) {
  const TempDir scratch;
  asio::io_context io(1);
  EventPublisher events(io.get_executor(), scratch / "c.sock.ttrpc", "moby");
  events.publish("/tasks/exit", "containerd.events.TaskStart", event(1));
  events.publish("/tasks/delete", "containerd.events.TaskStart", event(2));
  EXPECT_FALSE(drain(io, events, std::chrono::milliseconds(200)));
  Receiver receiver(io, scratch / "c.sock.ttrpc");
  EXPECT_TRUE(drain(io, events, std::chrono::seconds(20)));
  EXPECT_THAT(receiver.topics, testing::ElementsAre("/tasks/exit", "/tasks/delete"));
}

TEST(EventPublisher, DoesNotRepeatWhatIsRefused) {
  const TempDir scratch;
  asio::io_context io(1);
  Receiver receiver(io, scratch / "c.sock.ttrpc");
  receiver.answer = fail(ErrorKind::invalid_argument, "no such topic");
  EventPublisher events(io.get_executor(), scratch / "c.sock.ttrpc", "moby");
  events.publish("/tasks/a", "containerd.events.TaskStart", event(1));
  events.publish("/tasks/b", "containerd.events.TaskStart", event(2));
  EXPECT_TRUE(drain(io, events, std::chrono::seconds(20)));
  EXPECT_THAT(receiver.topics, testing::ElementsAre("/tasks/a", "/tasks/b"));
}

TEST(EventPublisher, LosesTheOldestOfTooMany) {
  const TempDir scratch;
  asio::io_context io(1);
  EventPublisher events(io.get_executor(), scratch / "c.sock.ttrpc", "moby");
  testing::internal::CaptureStderr();
  for (std::size_t i = 0; i < EventPublisher::kMostQueued + 2; ++i) {
    events.publish("/tasks/" + std::to_string(i), "containerd.events.TaskStart", event(1));
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("event /tasks/0 is lost: containerd does not take any"));
  Receiver receiver(io, scratch / "c.sock.ttrpc");
  EXPECT_TRUE(drain(io, events, std::chrono::seconds(60)));
  EXPECT_EQ(receiver.topics.size(), EventPublisher::kMostQueued);
  EXPECT_EQ(receiver.topics.front(), "/tasks/2");
}

}  // namespace
}  // namespace agentvm::shim
