// Waiting for the kernel to kill a process of a cgroup for want of memory.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <string>

#include "oci/base/async.h"

namespace agentvm::guest {

class OomWatch {
 public:
  // Of the cgroup at `path`, with those below it: memory.events, whose pollers the kernel wakes
  // (Documentation/admin-guide/cgroup-v2.rst).
  [[nodiscard]] static Result<std::shared_ptr<OomWatch>> open(const asio::any_io_executor& executor,
                                                              const std::string& path);

  // False after end(). What has changed since the last time, or since open(), counts. For any
  // number of waiters.
  [[nodiscard]] asio::awaitable<bool> wait_change();
  void end();

 private:
  OomWatch(const asio::any_io_executor& executor, int events) : events_(executor, events) {}
  asio::posix::stream_descriptor events_;
};

}  // namespace agentvm::guest
