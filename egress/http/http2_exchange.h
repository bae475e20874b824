// One request and its answer over HTTP/2: two streams, and what is on its way between them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "egress/http/http2_session.h"
#include "egress/http/judge.h"

namespace agentvm::egress::http {

// Bytes that came at one end and were not yet sent at the other; the flow-control window of the
// stream they came in bounds them.
class Http2Flow {
 public:
  void put(std::string_view bytes) { queue_ += bytes; }
  std::size_t take(std::span<char> into) {
    const std::size_t size = std::min(into.size(), queue_.size() - at_);
    std::ranges::copy(std::string_view(queue_).substr(at_, size), into.begin());
    at_ += size;
    if (at_ == queue_.size()) {
      queue_.clear();
      at_ = 0;
    }
    return size;
  }
  // Forgets what is left, and says how much it was.
  std::size_t drop() {
    const std::size_t size = queue_.size() - at_;
    queue_.clear();
    at_ = 0;
    return size;
  }
  [[nodiscard]] bool is_empty() const { return at_ == queue_.size(); }

  bool ended = false;              // nothing is put any more
  bool cut = false;                // neither, but its end was not said: RST_STREAM with NO_ERROR
  std::optional<Fields> trailers;  // to be sent behind it

 private:
  std::string queue_;
  std::size_t at_ = 0;
};

struct Http2Exchange {
  std::int32_t guest = 0;
  std::int32_t upstream = 0;   // 0: none
  bool upstream_open = false;  // that stream
  Judgement judgement;
  RequestRecord record;
  bool head_request = false;  // HEAD
  bool answered = false;      // the final answer's head was sent
  bool upload_wanted = true;  // the upstream takes the request's body
  Http2Flow out;              // guest to upstream
  Http2Flow in;
};

}  // namespace agentvm::egress::http
