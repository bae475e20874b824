// The containers that live in a sandbox's VM besides the one it was made for, as its monitor keeps
// them: each from the request that brings its share to the end of that connection, which its
// stand-in holds. Whatever a stand-in dies of, its container leaves the guest and its mounts go.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "oci/base/async.h"
#include "rpc/agent_client.h"
#include "runtime/channel.h"
#include "runtime/monitor/pod_share.h"

namespace agentvm::runtime {

// The text of MessageType::attach: "<container id> <share name>".
struct AttachRequest {
  std::string id;
  std::string share_name;
  friend bool operator==(const AttachRequest&, const AttachRequest&) = default;
};
[[nodiscard]] std::string write_attach(const AttachRequest& request);
[[nodiscard]] Result<AttachRequest> parse_attach(std::string_view text);

class PodMembers {
 public:
  // `timeout`: of a request to the guest.
  PodMembers(const asio::any_io_executor& executor, PodShare share,
             std::shared_ptr<rpc::AgentClient> agent, std::chrono::milliseconds timeout)
      : executor_(executor),
        share_(std::move(share)),
        agent_(std::move(agent)),
        timeout_(timeout) {}
  PodMembers(const PodMembers&) = delete;
  PodMembers& operator=(const PodMembers&) = delete;

  // attach or detach, answered there. It lives as long as the event loop.
  void take(Channel channel, Message request);

 private:
  static constexpr std::size_t kMost = 255;  // and the sandbox's own: the agent's kMaxContainers

  asio::awaitable<void> live(Channel channel, Message request);
  asio::awaitable<void> answer_detach(Channel channel, std::string id);
  Result<std::string> attach(const Message& request);
  asio::awaitable<void> let_go(std::string id);

  struct Member {
    std::string share_name;
    std::shared_ptr<Event> gone;
  };

  asio::any_io_executor executor_;
  PodShare share_;
  std::shared_ptr<rpc::AgentClient> agent_;
  std::chrono::milliseconds timeout_;
  std::map<std::string, Member> members_;
};

}  // namespace agentvm::runtime
