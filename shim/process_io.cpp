#include "shim/process_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>

#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::shim {

namespace {

// For the last output on its way to a client or logger that is slow, or gone.
constexpr std::chrono::seconds kDrainPatience{10};

Result<UniqueFd> open_fifo(const std::string& path, int flags) {
  auto fd = sys::open_at(AT_FDCWD, path, flags | O_NONBLOCK);
  if (!fd) {
    // Docker takes "no such file" for a missing program of the container's.
    Error error = std::move(fd).error();
    if (error.errnum == ENOENT) error = Error{ErrorKind::not_found, 0, "it does not exist"};
    return std::unexpected(std::move(error).wrap(fmt::format("stream '{}'", path)));
  }
  struct stat status{};
  if (::fstat(fd->get(), &status) != 0 || !S_ISFIFO(status.st_mode)) {
    return fail(ErrorKind::invalid_argument, fmt::format("stream '{}' is not a FIFO", path));
  }
  return fd;
}

Result<UniqueFd> open_file(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), code);
  if (code) return fail_errno(code.value(), fmt::format("the directory of log '{}'", path));
  return TRY(sys::open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644), "log '{}'", path);
}

Result<UniqueFd> duplicate(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno(errno, "duplicate a stream");
  return copy;
}

}  // namespace

Result<void> ProcessIo::open_input(ProcessIo& io, const IoUri& uri) {
  if (uri.kind == IoUri::Kind::none) return {};
  if (uri.kind != IoUri::Kind::fifo) {
    return fail(ErrorKind::invalid_argument, "standard input must be a FIFO");
  }
  // The reading end first: opened without a writer it does not wait, and the writing end then has
  // a reader.
  io.in_ = TRY(open_fifo(uri.path, O_RDONLY));
  io.kept_in_ = TRY(open_fifo(uri.path, O_WRONLY));
  return {};
}

Result<void> ProcessIo::open_output(const IoUri& uri, UniqueFd& fd, UniqueFd& kept) {
  switch (uri.kind) {
    case IoUri::Kind::none:
    case IoUri::Kind::binary:  // the logger's pipes
      return {};
    case IoUri::Kind::fifo:
      kept = TRY(open_fifo(uri.path, O_RDWR));
      fd = TRY(open_fifo(uri.path, O_WRONLY));
      return {};
    case IoUri::Kind::file:
      fd = TRY(open_file(uri.path));
      return {};
  }
  return {};
}

Task<std::unique_ptr<ProcessIo>> ProcessIo::open(Reaper& reaper, IoOwner owner, IoRequest request) {
  std::unique_ptr<ProcessIo> io(new ProcessIo);
  const IoUri in = CO_TRY(parse_io_uri(request.in));
  const IoUri out = CO_TRY(parse_io_uri(request.out));
  const IoUri err = CO_TRY(parse_io_uri(request.terminal ? "" : request.err));
  CO_TRY(open_input(*io, in));
  CO_TRY(open_output(out, io->out_, io->kept_out_));
  if (out.kind == IoUri::Kind::binary) {
    auto started = co_await Logger::start(reaper, out, owner.name_space, owner.container_id);
    Logger::Started logger = CO_TRY(std::move(started));
    io->logger_ = std::move(logger.logger);
    io->out_ = std::move(logger.out);
    if (!request.terminal && err.kind == IoUri::Kind::binary) io->err_ = std::move(logger.err);
  } else if (err == out && err.kind == IoUri::Kind::file) {
    io->err_ = CO_TRY(duplicate(io->out_));
  }
  if (!io->err_) CO_TRY(open_output(err, io->err_, io->kept_err_));
  if (request.terminal) {
    const auto executor = co_await asio::this_coro::executor;
    io->terminal_ = CO_TRY(Terminal::create(executor, owner.bundle));
  }
  co_return io;
}

VerbStdio ProcessIo::verb_stdio() const {
  if (terminal_) return {};
  return {in_.get(), out_.get(), err_.get()};
}

std::string ProcessIo::console_socket() const {
  return terminal_ ? terminal_->socket() : "";
}

Result<void> ProcessIo::started() {
  if (terminal_) TRY(terminal_->attach(std::move(in_), std::move(out_)));
  in_.reset();
  out_.reset();
  err_.reset();
  return {};
}

void ProcessIo::close_stdin() {
  kept_in_.reset();
}

Result<void> ProcessIo::resize(runtime::WindowSize size) {
  if (!terminal_) return {};
  return terminal_->resize(size);
}

asio::awaitable<void> ProcessIo::end() {
  kept_in_.reset();
  if (terminal_) co_await terminal_->wait_end(kDrainPatience);
  for (UniqueFd* fd : {&in_, &out_, &err_, &kept_out_, &kept_err_}) fd->reset();
  if (logger_) co_await logger_->wait_end(kDrainPatience);
}

}  // namespace agentvm::shim
