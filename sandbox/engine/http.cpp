#include "sandbox/engine/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

namespace {

constexpr std::size_t kMaxHead = 16'384;

struct CurlEnd {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct HeadersEnd {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Curl = std::unique_ptr<CURL, CurlEnd>;

struct Transfer {
  CURL* handle;
  const HttpRequest& request;
  HttpAnswer answer;
  bool stopped = false;
};

std::size_t take_body(char* data, std::size_t one, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t size = one * count;
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  if (transfer.request.sink && status >= 200 && status < 300) {
    transfer.stopped = !transfer.request.sink({data, size});
    return transfer.stopped ? 0 : size;
  }
  if (transfer.answer.body.size() + size > HttpSocket::kMaxBody) return 0;
  transfer.answer.body.append(data, size);
  return size;
}

std::size_t give_body(char* data, std::size_t one, std::size_t count, void* user) {
  const int fd = *static_cast<const int*>(user);
  const ssize_t got = ::read(fd, data, one * count);
  return got < 0 ? CURL_READFUNC_ABORT : static_cast<std::size_t>(got);
}

void set_body(CURL* handle, const HttpRequest& request) {
  if (request.upload >= 0) {
    ::lseek(request.upload, 0, SEEK_SET);
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(handle, CURLOPT_READDATA, &request.upload);
  } else if (request.method == "POST") {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.json.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request.json.c_str());
  }
  curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

Result<long> status_of(std::string_view head) {
  long status = 0;
  const std::size_t space = head.find(' ');
  if (!head.starts_with("HTTP/1.") || space == std::string_view::npos) {
    return fail(ErrorKind::unavailable, "the answer is no HTTP");
  }
  const std::string_view digits = head.substr(space + 1, 3);
  const auto [end, code] = std::from_chars(digits.begin(), digits.end(), status);
  if (code != std::errc() || end != digits.end()) {
    return fail(ErrorKind::unavailable, "the answer is no HTTP");
  }
  return status;
}

// Byte by byte: what follows belongs to the stream.
Result<std::string> read_head(int socket) {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char byte = 0;
    const ssize_t got = ::read(socket, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read the answer");
    if (got == 0) return fail(ErrorKind::unavailable, "the connection ended before the answer");
    head += byte;
    if (head.size() > kMaxHead)
      return fail(ErrorKind::unavailable, "the answer's head is too long");
  }
  return head;
}

}  // namespace

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Result<UniqueFd> HttpSocket::connect() const {
  const std::filesystem::path path(path_);
  const auto directory = sys::open_at(AT_FDCWD, path.parent_path().string(), O_PATH | O_DIRECTORY);
  if (!directory) return std::unexpected(directory.error());
  return sys::connect_unix_at(directory->get(), path.filename().string());
}

Result<HttpAnswer> HttpSocket::send(const HttpRequest& request) const {
  // libcurl knows only that it could not connect: connecting first tells why.
  if (auto tried = connect(); !tried) {
    Error error = std::move(tried).error();
    error.kind = ErrorKind::unavailable;
    return std::unexpected(std::move(error));
  }
  const Curl handle(curl_easy_init());
  if (!handle) return fail(ErrorKind::internal, "libcurl does not start");
  Transfer transfer{handle.get(), request, {}};
  char reason[CURL_ERROR_SIZE] = "";
  const std::unique_ptr<curl_slist, HeadersEnd> headers(
      curl_slist_append(nullptr, request.upload >= 0 ? "Content-Type: application/x-tar"
                                                     : "Content-Type: application/json"));
  curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(handle.get(), CURLOPT_UNIX_SOCKET_PATH, path_.c_str());
  // Whatever the environment says about proxies is not about this socket.
  curl_easy_setopt(handle.get(), CURLOPT_PROXY, "");
  curl_easy_setopt(handle.get(), CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(handle.get(), CURLOPT_URL, ("http://docker" + request.path).c_str());
  curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(handle.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &transfer);
  set_body(handle.get(), request);
  const CURLcode code = curl_easy_perform(handle.get());
  curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &transfer.answer.status);
  if (code != CURLE_OK && !transfer.stopped) {
    return fail(ErrorKind::unavailable, reason[0] != '\0' ? reason : curl_easy_strerror(code));
  }
  return std::move(transfer.answer);
}

Result<HttpSocket::Upgraded> HttpSocket::upgrade(const std::string& path,
                                                 const std::string& json) const {
  Upgraded upgraded;
  UniqueFd socket = TRY(connect());
  TRY(sys::write_all(
      socket.get(),
      fmt::format("POST {} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                  "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                  path, json.size(), json)));
  const std::string head = TRY(read_head(socket.get()));
  const long status = TRY(status_of(head));
  if (status == 101 || status == 200) {
    upgraded.stream = std::move(socket);
    return upgraded;
  }
  upgraded.refusal.status = status;
  // The server says how long its text is, or closes; a bounded read serves both.
  if (::shutdown(socket.get(), SHUT_WR) == 0) {
    upgraded.refusal.body = sys::read_all(socket.get(), kMaxHead).value_or("");
  }
  return upgraded;
}

}  // namespace agentvm::sandbox
