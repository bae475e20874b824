// The caller's side of --console-socket: what containerd's shim and conmon do.
#pragma once

#include <chrono>
#include <string>

namespace agentvm::e2e {

class ConsoleSocket {
 public:
  explicit ConsoleSocket(std::string path);
  ~ConsoleSocket();
  ConsoleSocket(const ConsoleSocket&) = delete;
  ConsoleSocket& operator=(const ConsoleSocket&) = delete;

  // Accepts the connection and takes the master. False when none was sent.
  [[nodiscard]] bool receive_master();
  [[nodiscard]] int master() const { return master_; }
  void write(const std::string& bytes) const;
  void resize(int rows, int columns) const;
  // Reads until what was read holds `text`; everything read so far is in seen().
  [[nodiscard]] bool wait_for(const std::string& text,
                              std::chrono::seconds timeout = std::chrono::seconds(30));
  [[nodiscard]] const std::string& seen() const { return seen_; }

 private:
  std::string path_;
  int listener_ = -1;
  int master_ = -1;
  std::string seen_;
};

}  // namespace agentvm::e2e
