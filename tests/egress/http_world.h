// Real servers, a gateway's HTTP part before them, and clients: on this machine's loopback.
#pragma once

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness/command.h"
#include "tests/temp_dir.h"

namespace agentvm::egress {

// Names of the world: server.test (HTTP/2 and 1.1, over TLS and in the clear; credential main),
// free.test (the same without one), git.test (the same; credential git), keyless.test (a credential
// without a value), raw.test (answers what it is told), wrong.test (whose certificate is
// another's), gone.test (nobody there), denied.test (by the policy).
class HttpWorld {
 public:
  HttpWorld();

  // curl's outcome, connected through the gateway, which it trusts.
  [[nodiscard]] e2e::Outcome curl(const std::vector<std::string>& arguments) const;
  // The answer to bytes in the clear, until the gateway closes.
  [[nodiscard]] std::string exchange(const std::string& bytes) const;
  // A connection to the gateway, which the caller closes.
  [[nodiscard]] int connect() const;

  [[nodiscard]] std::string gateway_port() const { return std::to_string(gateway_port_); }
  [[nodiscard]] std::string authority() const { return directory_ / "ca.pem"; }
  [[nodiscard]] const TempDir& directory() const { return directory_; }
  // A line for each request that has ended, once there are `count` of them.
  [[nodiscard]] std::vector<std::string> records(std::size_t count) const;
  // Memory of the gateway, in KiB.
  [[nodiscard]] std::size_t gateway_rss_kib() const;

 private:
  void make_certificates() const;
  void write_settings() const;

  TempDir directory_;
  std::unique_ptr<e2e::Background> server_;
  std::unique_ptr<e2e::Background> gateway_;
  std::uint16_t gateway_port_ = 0;
};

// Reads until `text` was read or the end; what was read.
[[nodiscard]] std::string read_until(int fd, const std::string& text);
void write_text(int fd, const std::string& text);

}  // namespace agentvm::egress
