// One end of an HTTP/2 connection (RFC 9113): nghttp2's session over a stream of bytes.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "egress/http/credentials.h"
#include "egress/http/fields.h"
#include "egress/tls/byte_stream.h"
#include "oci/base/async.h"

namespace agentvm::egress::http {

// What came in one HEADERS: a request, an answer, or trailers (then no pseudo-header is there).
struct Http2Head {
  std::string method, scheme, authority, path;  // :method, …
  std::string status;
  Fields fields;
  std::size_t size = 0;  // bytes of names and values
};

// What happens at one end. No call may end the session that makes it.
class Http2Events {
 public:
  Http2Events() = default;
  Http2Events(const Http2Events&) = delete;
  Http2Events& operator=(const Http2Events&) = delete;
  virtual ~Http2Events() = default;

  // `last`: nothing follows it; on_end() is called too.
  virtual void on_head(std::int32_t stream, Http2Head head, bool last) = 0;
  // They count as received until Http2Session::consume() says that they went on.
  virtual void on_data(std::int32_t stream, std::string_view bytes) = 0;
  // Nothing follows in that direction.
  virtual void on_end(std::int32_t stream) = 0;
  virtual void on_closed(std::int32_t stream, std::uint32_t error_code) = 0;
  virtual void on_goaway() = 0;

  struct Pulled {
    std::size_t size = 0;  // 0 and not ended: nothing yet, resume() says when
    bool ended = false;
    bool trailers = false;  // ended, and trailers were submitted instead of the end
  };
  // The next bytes of what this end sends in that stream.
  virtual Pulled pull(std::int32_t stream, std::span<char> into) = 0;
};

class Http2Session {
 public:
  enum class Role : std::uint8_t { server, client };
  // The stream and the events outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Http2Session>> create(
      Role role, ByteStream& stream, Http2Events& events, const asio::any_io_executor& executor);
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;
  ~Http2Session();

  // What comes, until the connection's end. invalid_argument: no HTTP/2.
  [[nodiscard]] Task<void> read_all();
  // Whatever is to be sent, until stop(), or nothing more can come (RFC 9113, 5.4.1: an error).
  [[nodiscard]] Task<void> write_all();
  void stop();
  // Neither reads nor sends anything more.
  [[nodiscard]] bool is_over() const;

  // A request with `pseudo` (":method", …); secrets are neither compressed nor kept. Its stream, or
  // an error when there can be none any more.
  [[nodiscard]] Result<std::int32_t> request(const std::vector<Field>& pseudo, const Fields& fields,
                                             const std::vector<SecretField>& secrets, bool body);
  // An answer: 1xx, or the final one.
  void answer(std::int32_t stream, const std::string& status, const Fields& fields, bool body);
  void trailers(std::int32_t stream, const Fields& fields);
  void reset(std::int32_t stream, std::uint32_t error_code);
  void resume(std::int32_t stream);
  void consume(std::int32_t stream, std::size_t size);
  // No new streams; those that are there go on.
  void goaway();

 private:
  friend struct Http2Callbacks;
  Http2Session(ByteStream& stream, Http2Events& events, const asio::any_io_executor& executor)
      : stream_(stream), events_(events), wake_(executor, asio::steady_timer::time_point::max()) {}
  [[nodiscard]] Result<void> begin(Role role);
  // Something may be there to be sent.
  void kick();

  ByteStream& stream_;
  Http2Events& events_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Http2Head> heads_;  // that have begun and not ended
  asio::steady_timer wake_;
  bool kicked_ = false;
  bool stopped_ = false;
};

}  // namespace agentvm::egress::http
