// Undo steps of a set-up that can fail half way: push an undo after each step that worked, call
// release() after the last. Destruction without release runs the undos, last first.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace agentvm {

class Rollback {
 public:
  Rollback() = default;
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback() {
    while (!undos_.empty()) {
      auto undo = std::move(undos_.back());
      undos_.pop_back();
      undo();
    }
  }
  // `undo` must not throw and must not fail loudly: it runs while an error is on its way out.
  void push(std::function<void()> undo) { undos_.push_back(std::move(undo)); }
  void release() { undos_.clear(); }

 private:
  std::vector<std::function<void()>> undos_;
};

}  // namespace agentvm
