// What the coroutines of a running machine share: its processes, their ends, what they print.
// The coroutines keep it alive; end_all() makes each of them come to its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/unique_fd.h"
#include "vmm/child.h"
#include "vmm/console.h"
#include "vmm/machine.h"

namespace agentvm::vmm {

struct MachinePart {
  MachinePart(const asio::any_io_executor& executor, std::string part_name, Child part_child)
      : name(std::move(part_name)), child(std::move(part_child)), ended(executor) {}
  std::string name;
  Child child;
  Event ended;
  int wait_status = 0;  // once it has ended
};

class MachineState : public std::enable_shared_from_this<MachineState> {
 public:
  // `directory` holds "vsock.sock", which goes with the machine.
  MachineState(const asio::any_io_executor& executor, UniqueFd directory);
  MachineState(const MachineState&) = delete;
  MachineState& operator=(const MachineState&) = delete;
  ~MachineState();

  // Watches it from now on.
  void add_part(std::string name, Child child);
  // Whether there is anything to wait errors_drained for.
  [[nodiscard]] bool listens() const { return listens_; }
  // Reads the guest's console and what the parts print into the tail, to their end.
  void listen(UniqueFd console, UniqueFd errors);

  // Ends when the console, from now on or in what is left of it, says `text`; when any part ends.
  [[nodiscard]] static Task<void> wait_console(std::shared_ptr<MachineState> self, std::string text,
                                               std::chrono::milliseconds timeout);

  // Waits for the first end and says whose it was. A backend that leaves by itself mostly does so
  // since QEMU has gone, which is seen a moment later: then it was QEMU's.
  [[nodiscard]] static Task<MachineEnd> wait_cause(std::shared_ptr<MachineState> self);

  // Kills and reaps what still runs, all at once, and removes the socket. Idempotent.
  void end_all();

  std::vector<std::shared_ptr<MachinePart>> parts;  // QEMU is the first
  Event first_end;
  std::optional<MachineEnd> end;  // of the part that ended first
  // While the machine starts: the end of one part kills the others, so that nobody waits for what
  // the dead one should answer.
  bool together = true;
  Event errors_drained;
  ConsoleTail tail;

 private:
  static Task<void> watch(std::shared_ptr<MachineState> self, std::shared_ptr<MachinePart> part);
  static Task<void> drain(std::shared_ptr<MachineState> self, UniqueFd fd, bool errors);
  void note_end(MachinePart& part, int wait_status);

  asio::any_io_executor executor_;
  void look_for_words();

  UniqueFd directory_;
  std::string words_;  // what wait_console() waits for
  std::unique_ptr<Event> said_;
  bool listens_ = false;
};

}  // namespace agentvm::vmm
