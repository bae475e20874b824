// The record of what was decided: decisions.jsonl, one JSON object a line, and its predecessors
// decisions.jsonl.1 (the youngest) to .5. Never a secret and never a query.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "egress/host.h"
#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::egress {

struct DecisionRecord {
  std::string_view protocol;  // "dns", "tcp", "tls", "http"
  std::string host;           // empty: the address alone is known
  std::uint16_t port = 0;
  std::string address;  // as text; empty: there is none
  std::string method;
  std::string path;
  bool allowed = false;
  std::string rule;
  std::string layer;
  std::string reason;
  std::uint64_t bytes_in = 0;   // to the guest
  std::uint64_t bytes_out = 0;  // from the guest
  std::vector<std::string> credentials;
};

class DecisionLog {
 public:
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{10} << 20;
  static constexpr unsigned kKept = 5;
  static constexpr std::size_t kMaxText = 2048;  // of one member

  // Writes into `directory`, going on where an earlier process stopped. A file has at most
  // `max_bytes`.
  [[nodiscard]] static Result<DecisionLog> create(UniqueFd directory, std::string sandbox,
                                                  std::uint64_t max_bytes = kMaxBytes);

  // A record that cannot be written (the disk is full) is counted, and one line of the process's
  // log says so: decisions do not wait for the log.
  void write(const DecisionRecord& record);

  [[nodiscard]] std::uint64_t allowed() const { return allowed_; }
  [[nodiscard]] std::uint64_t denied() const { return denied_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }

 private:
  DecisionLog(UniqueFd directory, std::string sandbox, std::uint64_t max_bytes)
      : directory_(std::move(directory)), sandbox_(std::move(sandbox)), max_bytes_(max_bytes) {}
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> append(std::string_view line);
  void rotate();

  UniqueFd directory_;
  std::string sandbox_;
  std::uint64_t max_bytes_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t allowed_ = 0;
  std::uint64_t denied_ = 0;
  std::uint64_t lost_ = 0;
};

// One line, its end included.
[[nodiscard]] std::string write_record(const DecisionRecord& record, std::string_view sandbox,
                                       std::string_view time);

}  // namespace agentvm::egress
