#include "shim/verb.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>

#include "oci/base/json_reader.h"
#include "oci/base/json_writer.h"
#include "oci/base/signals.h"
#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"
#include "runtime/channel.h"

namespace agentvm::shim {

namespace {

constexpr std::array kVerbs = std::to_array<JsonWord<Verb>>({
    {"create", Verb::create},
    {"start", Verb::start},
    {"exec", Verb::exec},
    {"pause", Verb::pause},
    {"resume", Verb::resume},
    {"update", Verb::update},
    {"delete", Verb::remove},
});

Result<UniqueFd> memory_file(std::string_view content) {
  UniqueFd file(::memfd_create("verb", MFD_CLOEXEC));
  if (!file) return fail_errno(errno, "make a memory file");
  TRY(sys::write_all(file.get(), content));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "rewind a memory file");
  return file;
}

bool place(int from, int to) {
  return from == to ? ::fcntl(from, F_SETFD, 0) == 0 : ::dup2(from, to) == to;
}

// Between fork and exec: system calls only.
[[noreturn]] void become(const std::array<int, 5>& fds, char* const* argv, pid_t parent) {
  (void)reset_signals();
  // A verb that outlived its shim would make what nobody cleans up.
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  for (int to = 0; to < static_cast<int>(fds.size()); ++to) {
    if (!place(fds[static_cast<std::size_t>(to)], to)) ::_exit(1);
  }
  ::execv("/proc/self/exe", argv);
  ::_exit(1);
}

Result<pid_t> spawn_verb(const VerbRequest& request, VerbStdio stdio, int socket) {
  const auto file = TRY(memory_file(write_verb_request(request)));
  const auto null = TRY(sys::open_at(AT_FDCWD, "/dev/null", O_RDWR));
  const auto or_null = [&null](int fd) { return fd >= 0 ? fd : null.get(); };
  const std::array fds{or_null(stdio.in), or_null(stdio.out), or_null(stdio.err), socket,
                       file.get()};
  // For ps(1) alone.
  std::vector<std::string> words{
      "containerd-shim-agentvm-v2",      "-namespace", "-", "-id", request.id, "verb",
      std::string(name_of(request.verb))};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) become(fds, argv.data(), parent);
  return pid;
}

Result<pid_t> answer_of(runtime::Channel& channel, Verb verb, int status) {
  // All that it had to say is there by now.
  auto message = channel.expect(runtime::MessageType::done, std::chrono::milliseconds(0), "");
  if (!message && message.error().kind == ErrorKind::unavailable && status != 0) {
    return fail(ErrorKind::internal,
                fmt::format("{} {}", name_of(verb), describe_wait_status(status)));
  }
  const std::string text = TRY(std::move(message)).text;
  pid_t pid = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

}  // namespace

std::span<const JsonWord<Verb>> json_words(Verb) {
  return kVerbs;
}

std::string_view name_of(Verb verb) {
  for (const auto& [word, value] : kVerbs) {
    if (value == verb) return word;
  }
  return "unknown";
}

void json_fields(auto& io, Like<RootfsMount> auto& mount) {
  io.required("type", mount.type);
  io.required("source", mount.source);
  io.optional("options", mount.options);
}

void json_fields(auto& io, Like<VerbRequest> auto& request) {
  io.required("verb", request.verb);
  io.required("root", request.root);
  io.optional("configPath", request.config_path);
  io.optional("systemdCgroup", request.systemd_cgroup);
  io.required("id", request.id);
  io.required("bundle", request.bundle);
  io.optional("rootfs", request.rootfs);
  io.optional("consoleSocket", request.console_socket);
  io.optional("document", request.document);
}

std::string write_verb_request(const VerbRequest& request) {
  return write_json(request);
}

Result<VerbRequest> parse_verb_request(std::string_view json) {
  return parse_json<VerbRequest>(json);
}

Task<pid_t> run_verb(Reaper& reaper, const VerbRequest& request, VerbStdio stdio) {
  auto ends = CO_TRY(sys::socket_pair(SOCK_STREAM));
  const pid_t pid = CO_TRY(spawn_verb(request, stdio, ends.second.get()));
  ends.second.reset();
  runtime::Channel channel(std::move(ends.first));
  const int status = co_await reaper.wait(pid);
  co_return answer_of(channel, request.verb, status);
}

}  // namespace agentvm::shim
