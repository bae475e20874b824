// One output of a process (the read end of its pipe, or its pty's master) copied to a stream.
//
// rpc::relay() ends with its source. An output has a second end: its process has exited, but a
// child that it left behind still holds the pipe. Then what is there now is handed on to the last
// byte, without waiting for more (finish()). Bytes go by read(2) and send(2) in the size of several vsock
// packets: splice(2) would make one packet of every page.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"

namespace agentvm::guest {

class OutputPump {
 public:
  // `source` must be non-blocking; both belong to the pump from now on.
  OutputPump(const asio::any_io_executor& executor, UniqueFd source, UniqueFd sink);

  // Ends when the source has ended and its last byte is sent, or when the sink is gone; the sink
  // has then seen its end and both are closed. The pump must outlive it. Once.
  asio::awaitable<void> run();

  // The process has exited: whatever the source holds now is the rest.
  void finish();
  // Drops everything; run() ends soon.
  void abort();

 private:
  enum class Input : std::uint8_t { bytes, later, end };
  Input read_some();
  asio::awaitable<bool> send_all();
  asio::awaitable<void> copy();

  asio::posix::stream_descriptor source_;
  asio::posix::stream_descriptor sink_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t filled_ = 0;
  // After finish(): how much a child left behind may still make us copy.
  std::size_t rest_ = 0;
  bool finishing_ = false;
  bool aborted_ = false;
};

}  // namespace agentvm::guest
