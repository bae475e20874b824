// HTTP over a unix socket: one request, one answer; and a connection that becomes a raw stream.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::sandbox {

struct HttpRequest {
  std::string method = "GET";
  std::string path;  // with its query, percent-encoded
  std::string json;  // the body; "": none
  int upload = -1;   // borrowed: a file, read from its start to its end, sent as a tar archive
  // Takes the body of an answer of 2xx as it comes; false ends the transfer, which is no error.
  // Without it the body is collected.
  std::function<bool(std::string_view)> sink;
};

struct HttpAnswer {
  long status = 0;
  std::string body;
};

class HttpSocket {
 public:
  static constexpr std::size_t kMaxBody = std::size_t{64} << 20;

  explicit HttpSocket(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  // unavailable, with errnum where the socket cannot be reached (ENOENT, EACCES, ECONNREFUSED).
  [[nodiscard]] Result<HttpAnswer> send(const HttpRequest& request) const;
  // POST with "Upgrade: tcp": the socket when the server agreed (status 101 or 200), with nothing
  // of the stream read. Other answers come back as they are, without a socket.
  struct Upgraded {
    UniqueFd stream;
    HttpAnswer refusal;
  };
  [[nodiscard]] Result<Upgraded> upgrade(const std::string& path, const std::string& json) const;

 private:
  [[nodiscard]] Result<UniqueFd> connect() const;
  std::string path_;
};

// For a path or query: everything but letters, digits, '-', '_', '.', '~' as %XX.
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace agentvm::sandbox
