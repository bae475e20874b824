#include "vmm/machine_state.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "vmm/machine_parts.h"

namespace agentvm::vmm {

namespace {

// Between the end of a backend and the end of QEMU that caused it.
constexpr std::chrono::milliseconds kCausePatience{200};

}  // namespace

MachineState::MachineState(const asio::any_io_executor& executor, UniqueFd directory)
    : first_end(executor),
      errors_drained(executor),
      executor_(executor),
      directory_(std::move(directory)) {}

MachineState::~MachineState() {
  end_all();
}

void MachineState::add_part(std::string name, Child child) {
  parts.push_back(std::make_shared<MachinePart>(executor_, std::move(name), std::move(child)));
  spawn<void>(executor_, watch(shared_from_this(), parts.back()));
}

void MachineState::listen(UniqueFd console, UniqueFd errors) {
  listens_ = true;
  spawn<void>(executor_, drain(shared_from_this(), std::move(console), false));
  spawn<void>(executor_, drain(shared_from_this(), std::move(errors), true));
}

void MachineState::end_all() {
  for (const auto& part : parts) part->child.kill();
  for (const auto& part : parts) {
    if (const auto status = part->child.wait_killed()) note_end(*part, *status);
  }
  if (!directory_) return;
  (void)::unlinkat(directory_.get(), kVsockSocket, 0);
  directory_.reset();
}

void MachineState::note_end(MachinePart& part, int wait_status) {
  if (!end) end = MachineEnd{part.name, wait_status};
  part.wait_status = wait_status;
  part.ended.set();
  first_end.set();
  if (together) {
    for (const auto& other : parts) other->child.kill();
  }
  if (said_) said_->set();
}

void MachineState::look_for_words() {
  if (said_ && tail.text().contains(words_)) said_->set();
}

Task<void> MachineState::wait_console(std::shared_ptr<MachineState> self, std::string text,
                                      std::chrono::milliseconds timeout) {
  self->words_ = std::move(text);
  self->said_ = std::make_unique<Event>(self->executor_);
  self->look_for_words();
  if (self->end) self->said_->set();
  const bool in_time = co_await self->said_->wait_for(timeout);
  if (self->end) co_return fail(ErrorKind::unavailable, self->end->part + " ended");
  if (!in_time) {
    co_return fail(ErrorKind::unavailable, fmt::format("the guest did not say '{}' within {} ms",
                                                       self->words_, timeout.count()));
  }
  co_return Result<void>{};
}

Task<MachineEnd> MachineState::wait_cause(std::shared_ptr<MachineState> self) {
  co_await self->first_end.wait();
  if (!self->end) co_return fail(ErrorKind::unavailable, "wait for the machine's end: cancelled");
  const bool left_by_itself = WIFEXITED(self->end->wait_status);
  MachinePart& qemu = *self->parts.front();
  if (!left_by_itself || !co_await qemu.ended.wait_for(kCausePatience)) co_return *self->end;
  co_return MachineEnd{qemu.name, qemu.wait_status};
}

Task<void> MachineState::watch(std::shared_ptr<MachineState> self,
                               std::shared_ptr<MachinePart> part) {
  auto ended = co_await part->child.wait();
  if (ended) self->note_end(*part, *ended);
  co_return Result<void>{};
}

Task<void> MachineState::drain(std::shared_ptr<MachineState> self, UniqueFd fd, bool errors) {
  asio::posix::stream_descriptor stream(self->executor_, fd.release());
  std::array<char, 4096> chunk;
  for (;;) {
    auto [code, n] = co_await stream.async_read_some(asio::buffer(chunk), use_result);
    if (code) break;
    self->tail.add(std::string_view(chunk.data(), n));
    self->look_for_words();
  }
  if (errors) self->errors_drained.set();
  co_return Result<void>{};
}

}  // namespace agentvm::vmm
