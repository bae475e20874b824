// Network namespaces for tests: the host that an engine or a container believes in, and the world
// beyond it. Needs iproute2.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/e2e/harness/command.h"

namespace agentvm::e2e {

// A namespace with one interface "eth0", 10.88.0.2/24 and fd88::2/64, whose other end is
// 10.88.0.1 and fd88::1 in a namespace of its own, the way out. Both go with the object.
class TestNetwork {
 public:
  explicit TestNetwork(int mtu = 1500);
  ~TestNetwork();
  TestNetwork(const TestNetwork&) = delete;
  TestNetwork& operator=(const TestNetwork&) = delete;

  [[nodiscard]] std::string path() const { return "/run/netns/" + name_; }
  // A command in it; in the world outside.
  [[nodiscard]] std::vector<std::string> inside(const std::vector<std::string>& argv) const;
  [[nodiscard]] std::vector<std::string> outside(const std::vector<std::string>& argv) const;
  Outcome run_inside(const std::vector<std::string>& argv) const;
  Outcome run_outside(const std::vector<std::string>& argv) const;
  // One more pair: `name` with `address` inside, `gateway` outside, both with their prefix.
  void add_interface(const std::string& name, const std::string& address,
                     const std::string& gateway) const;

 private:
  void ip(const std::vector<std::string>& arguments) const;
  std::string name_;
};

// Answers every question for an IPv4 address, by UDP, with 192.0.2.7: at 10.88.0.1 of the world
// outside, until the object goes.
class TestNameServer {
 public:
  explicit TestNameServer(const TestNetwork& network);
  ~TestNameServer();
  TestNameServer(const TestNameServer&) = delete;
  TestNameServer& operator=(const TestNameServer&) = delete;

 private:
  pid_t pid_ = -1;
};

}  // namespace agentvm::e2e
