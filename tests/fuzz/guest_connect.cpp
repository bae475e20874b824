// What the vsock backend can answer to "CONNECT N": the call ends, and a connection that is good
// has lost no byte after the answer's line.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "oci/base/sys.h"
#include "rpc/guest_connect.h"
#include "rpc/stream_fd.h"

namespace {

using namespace agentvm;

struct Backend {
  Backend() {
    std::string pattern = "/tmp/agentvm-fuzz-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    dir = *sys::open_at(AT_FDCWD, pattern, O_PATH | O_DIRECTORY);
    listener = *sys::listen_unix_at(dir.get(), "vsock.sock", 0600);
    path = pattern;
  }
  ~Backend() {
    ::unlinkat(dir.get(), "vsock.sock", 0);
    ::rmdir(path.c_str());
  }
  std::string path;
  UniqueFd dir;
  UniqueFd listener;
};

asio::awaitable<void> connect(int dir, Result<UniqueFd>& outcome, bool& ended) {
  outcome = co_await rpc::connect_guest(dir, "vsock.sock", 1024, std::chrono::hours(1));
  ended = true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Backend backend;
  const std::string_view bytes(reinterpret_cast<const char*>(data),
                               std::min<std::size_t>(size, 4096));
  asio::io_context io;
  Result<UniqueFd> outcome = fail(ErrorKind::internal, "not run");
  bool ended = false;
  rpc::spawn(io.get_executor(), connect(backend.dir.get(), outcome, ended));
  io.poll();
  UniqueFd peer(::accept4(backend.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!sys::write_all(peer.get(), bytes)) std::abort();
  ::shutdown(peer.get(), SHUT_WR);
  io.restart();
  io.run();
  if (!ended) std::abort();
  if (!outcome) return 0;
  const std::size_t newline = bytes.find('\n');
  if (newline == std::string_view::npos) std::abort();
  ::fcntl(outcome->get(), F_SETFL, 0);
  if (sys::read_all(outcome->get(), 8192) != std::string(bytes.substr(newline + 1))) std::abort();
  return 0;
}
