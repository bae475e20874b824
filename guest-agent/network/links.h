// The guest's network interfaces, addresses, routes and neighbours: rtnetlink(7) by libnl. What is
// there already is replaced, what is gone already is fine.
#pragma once

#include <netlink/netlink.h>

#include <memory>
#include <string>

#include "oci/base/error.h"
#include "rpc/agent.pb.h"

namespace agentvm::guest {

class Links {
 public:
  [[nodiscard]] static Result<Links> open();

  // Gives interface `kernel_name`, which is down, its name and MTU, and brings it up.
  [[nodiscard]] Result<void> bring_up(const std::string& kernel_name,
                                      const agent::v1::NetworkInterface& interface) const;
  [[nodiscard]] Result<void> set_mtu(const agent::v1::NetworkInterface& interface) const;

  [[nodiscard]] Result<void> add(const std::string& interface,
                                 const agent::v1::NetworkAddress& address) const;
  [[nodiscard]] Result<void> remove(const std::string& interface,
                                    const agent::v1::NetworkAddress& address) const;
  [[nodiscard]] Result<void> add(const agent::v1::NetworkRoute& route) const;
  [[nodiscard]] Result<void> remove(const agent::v1::NetworkRoute& route) const;
  [[nodiscard]] Result<void> add(const agent::v1::NetworkNeighbour& neighbour) const;
  [[nodiscard]] Result<void> remove(const agent::v1::NetworkNeighbour& neighbour) const;

 private:
  struct Free {
    void operator()(nl_sock* socket) const;
  };
  using Socket = std::unique_ptr<nl_sock, Free>;
  explicit Links(Socket socket) : socket_(std::move(socket)) {}
  Socket socket_;
};

}  // namespace agentvm::guest
