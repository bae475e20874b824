#include "runtime/monitor/pod_members.h"

#include <fmt/format.h>

#include "oci/base/log.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/state_dir.h"

namespace agentvm::runtime {

std::string write_attach(const AttachRequest& request) {
  return request.id + " " + request.share_name;
}

Result<AttachRequest> parse_attach(std::string_view text) {
  const auto words = split(text, " ");
  if (words.size() != 2 || !is_share_name(words[1])) {
    return fail(ErrorKind::invalid_argument, "a member's request cannot be read");
  }
  TRY(check_container_id(words[0]));
  return AttachRequest{std::string(words[0]), std::string(words[1])};
}

void PodMembers::take(Channel channel, Message request) {
  if (request.type == MessageType::attach) {
    asio::co_spawn(executor_, live(std::move(channel), std::move(request)), asio::detached);
  } else {
    asio::co_spawn(executor_, answer_detach(std::move(channel), std::move(request.text)),
                   asio::detached);
  }
}

Result<std::string> PodMembers::attach(const Message& request) {
  const AttachRequest wanted = TRY(parse_attach(request.text));
  if (!request.fd) return fail(ErrorKind::invalid_argument, "a member came without its share");
  if (members_.contains(wanted.id)) {
    return fail(ErrorKind::already_exists,
                fmt::format("container '{}' is in the sandbox's VM already", wanted.id));
  }
  if (members_.size() >= kMost) {
    return fail(ErrorKind::failed_precondition,
                fmt::format("more than {} containers in one pod", kMost));
  }
  TRY(share_.attach(wanted.share_name, request.fd.get()));
  members_[wanted.id] = {wanted.share_name, std::make_shared<Event>(executor_)};
  return wanted.id;
}

asio::awaitable<void> PodMembers::live(Channel channel, Message request) {
  const auto id = attach(request);
  request.fd.reset();
  (void)channel.send(answer_of(id ? Result<void>() : std::unexpected(id.error())));
  if (!id) co_return;
  (void)co_await wait_hangup(channel.fd());
  co_await let_go(*id);
}

// First out of the guest, whose cgroup lets go of the files, then out of its sight.
asio::awaitable<void> PodMembers::let_go(std::string id) {
  const Member member = members_[id];
  agent::v1::DeleteContainerRequest request;
  request.set_container_id(id);
  const auto deleted = co_await agent_->delete_container(request, timeout_);
  if (!deleted && deleted.error().kind != ErrorKind::not_found) {
    log::warning("container '{}' stays in its pod's guest: {}", id, deleted.error().text());
  }
  if (auto detached = share_.detach(member.share_name); !detached) {
    log::warning("container '{}': {}", id, detached.error().text());
  }
  members_.erase(id);
  member.gone->set();
}

asio::awaitable<void> PodMembers::answer_detach(Channel channel, std::string id) {
  const auto found = members_.find(id);
  if (found != members_.end()) {
    const auto gone = found->second.gone;
    co_await gone->wait();
  }
  (void)channel.send(answer_of(Result<void>()));
}

}  // namespace agentvm::runtime
