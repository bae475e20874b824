#include "vmm/qmp.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "oci/base/json_writer.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::vmm {

namespace {

// One command that waits for its answer.
struct Pending {
  explicit Pending(const asio::any_io_executor& executor) : answered(executor) {}
  Event answered;
  std::optional<QmpReply> reply;  // nothing: the connection ended first
};

}  // namespace

// The socket and its reader. The reading coroutine keeps it alive, close() ends that.
class Qmp::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(const asio::any_io_executor& executor, int socket)
      : socket_(executor, asio::local::stream_protocol(), socket),
        greeted_(executor),
        migrated_(executor),
        executor_(executor) {}

  void start() { spawn<void>(executor_, read_all(shared_from_this())); }

  void close() {
    boost::system::error_code ignored;
    (void)socket_.close(ignored);
    end("closed");
  }

  Task<void> wait_greeting(Timeout timeout) {
    const bool in_time = co_await greeted_.wait_for(timeout);
    if (!in_time) {
      co_return fail(ErrorKind::unavailable,
                     fmt::format("QEMU did not greet within {} ms", timeout.count()));
    }
    if (!greeting_) co_return fail(ErrorKind::unavailable, "QEMU's control socket " + why_);
    co_return Result<void>{};
  }

  // `arguments` is a JSON object or empty.
  Task<QmpReply> execute(std::string name, std::string arguments, int fd, Timeout timeout) {
    if (!why_.empty()) co_return fail(ErrorKind::unavailable, "QEMU's control socket " + why_);
    const std::uint64_t id = ++last_id_;
    const auto pending = std::make_shared<Pending>(executor_);
    pending_[id] = pending;
    if (auto sent = send(id, name, arguments, fd); !sent) {
      pending_.erase(id);
      closed_by_qemu_ = sent.error().errnum == EPIPE || sent.error().errnum == ECONNRESET;
      end(closed_by_qemu_ ? "was closed by QEMU" : "is full: QEMU does not read");
      co_return fail(ErrorKind::unavailable, "QEMU's control socket " + why_);
    }
    const bool in_time = co_await pending->answered.wait_for(timeout);
    pending_.erase(id);
    if (!in_time) {
      co_return fail(ErrorKind::unavailable,
                     fmt::format("QEMU did not answer within {} ms", timeout.count()));
    }
    if (!pending->reply) co_return fail(ErrorKind::unavailable, "QEMU's control socket " + why_);
    if (pending->reply->error) {
      co_return fail(ErrorKind::failed_precondition, "QEMU says: " + *pending->reply->error);
    }
    co_return *pending->reply;
  }

  // "completed", "failed" or "cancelled".
  Task<std::string> wait_migrated(Timeout timeout) {
    const bool in_time = co_await migrated_.wait_for(timeout);
    if (!in_time) {
      co_return fail(ErrorKind::unavailable,
                     fmt::format("QEMU was not done within {} ms", timeout.count()));
    }
    if (!why_.empty()) co_return fail(ErrorKind::unavailable, "QEMU's control socket " + why_);
    co_return migration_;
  }

  std::optional<QmpGreeting> greeting_;
  bool closed_by_qemu_ = false;
  std::function<void(const QmpEvent&)> handler_;

 private:
  // A command is a few hundred bytes and the socket's buffer holds hundreds of them: when it does
  // not take one at once, QEMU has stopped reading.
  Result<void> send(std::uint64_t id, std::string_view name, const std::string& arguments, int fd) {
    JsonWriter json;
    json.begin_object().key("execute").value(name);
    if (!arguments.empty()) json.key("arguments").raw(arguments);
    json.key("id").value(id).end_object();
    const std::string line = json.take() + "\n";
    return sys::send_fds(socket_.native_handle(), line,
                         fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>());
  }

  static Task<void> read_all(std::shared_ptr<Connection> self) {
    std::string buffer;
    std::array<char, 4096> chunk;
    while (self->why_.empty()) {
      auto [code, n] = co_await self->socket_.async_read_some(asio::buffer(chunk), use_result);
      if (code) {
        self->closed_by_qemu_ = true;
        self->end("was closed by QEMU");
        break;
      }
      buffer.append(chunk.data(), n);
      self->take_lines(buffer);
      if (buffer.size() > kQmpLineLimit) self->end("carried a line past the limit");
    }
    co_return Result<void>{};
  }

  void take_lines(std::string& buffer) {
    std::size_t begin = 0;
    for (std::size_t end_of_line = buffer.find('\n');
         end_of_line != std::string::npos && why_.empty(); end_of_line = buffer.find('\n', begin)) {
      take_line(std::string_view(buffer).substr(begin, end_of_line - begin));
      begin = end_of_line + 1;
    }
    buffer.erase(0, begin);
  }

  void take_line(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return;
    auto message = parse_qmp_message(line);
    if (!message) return end("carried no QMP: " + message.error().text());
    if (const auto* greeting = std::get_if<QmpGreeting>(&*message)) {
      greeting_ = *greeting;
      greeted_.set();
    } else if (const auto* event = std::get_if<QmpEvent>(&*message)) {
      note_migration(*event);
      if (handler_) handler_(*event);
    } else if (auto* reply = std::get_if<QmpReply>(&*message)) {
      // An answer that came after its deadline finds nobody.
      if (const auto found = pending_.find(reply->id); found != pending_.end()) {
        found->second->reply = std::move(*reply);
        found->second->answered.set();
      }
    }
  }

  void note_migration(const QmpEvent& event) {
    if (event.kind != QmpEventKind::migration) return;
    if (event.reason != "completed" && event.reason != "failed" && event.reason != "cancelled") {
      return;
    }
    migration_ = event.reason;
    migrated_.set();
  }

  void end(std::string why) {
    if (!why_.empty()) return;
    why_ = std::move(why);
    greeted_.set();
    migrated_.set();
    for (auto& [id, pending] : pending_) pending->answered.set();
  }

  asio::local::stream_protocol::socket socket_;
  Event greeted_;
  Event migrated_;
  std::string migration_;  // how it ended
  asio::any_io_executor executor_;
  std::string why_;  // why no command can be sent any more
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Pending>> pending_;
};

Qmp::Qmp(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

Qmp::~Qmp() {
  connection_->close();
}

Task<std::unique_ptr<Qmp>> Qmp::connect(UniqueFd socket, Timeout timeout) {
  auto executor = co_await asio::this_coro::executor;
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    co_return fail_errno(errno, "QEMU's control socket");
  }
  std::shared_ptr<Connection> connection;
  try {
    connection = std::make_shared<Connection>(executor, socket.get());
  } catch (const boost::system::system_error& error) {
    co_return fail_asio(error.code(), "QEMU's control socket");
  }
  (void)socket.release();
  std::unique_ptr<Qmp> qmp(new Qmp(connection));
  connection->start();
  auto greeted = co_await connection->wait_greeting(timeout);
  CO_TRY(std::move(greeted));
  auto negotiated = co_await connection->execute("qmp_capabilities", "", -1, timeout);
  CO_TRY(std::move(negotiated), "negotiate with QEMU");
  co_return std::move(qmp);
}

const QmpGreeting& Qmp::greeting() const {
  return *connection_->greeting_;
}

void Qmp::on_event(std::function<void(const QmpEvent&)> handler) {
  connection_->handler_ = std::move(handler);
}

Task<void> Qmp::command(std::string name, std::string arguments, int fd, Timeout timeout) {
  const auto connection = connection_;
  auto reply = co_await connection->execute(name, std::move(arguments), fd, timeout);
  CO_TRY(std::move(reply), "{}", name);
  co_return Result<void>{};
}

Task<void> Qmp::quit(Timeout timeout) {
  const auto connection = connection_;
  auto reply = co_await connection->execute("quit", "", -1, timeout);
  // QEMU may be faster gone than its answer read.
  if (!reply && connection->closed_by_qemu_) co_return Result<void>{};
  CO_TRY(std::move(reply), "quit");
  co_return Result<void>{};
}

Task<void> Qmp::stop(Timeout timeout) {
  return command("stop", "", -1, timeout);
}

Task<void> Qmp::cont(Timeout timeout) {
  return command("cont", "", -1, timeout);
}

Task<void> Qmp::system_powerdown(Timeout timeout) {
  return command("system_powerdown", "", -1, timeout);
}

Task<QmpRunState> Qmp::query_status(Timeout timeout) {
  const auto connection = connection_;
  auto answer = co_await connection->execute("query-status", "", -1, timeout);
  const QmpReply reply = CO_TRY(std::move(answer), "query-status");
  if (!reply.run_state) co_return fail(ErrorKind::unavailable, "query-status: no status");
  co_return *reply.run_state;
}

Task<void> Qmp::device_add(QmpDevice device, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("driver").value(device.driver).key("id").value(device.id);
  if (!device.bus.empty()) json.key("bus").value(device.bus);
  for (const auto& [name, value] : device.properties) {
    json.key(name);
    std::visit([&](const auto& plain) { json.value(plain); }, value);
  }
  return command("device_add", json.end_object().take(), -1, timeout);
}

Task<void> Qmp::device_del(std::string id, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("id").value(id).end_object();
  return command("device_del", json.take(), -1, timeout);
}

Task<void> Qmp::memory_add(std::string id, std::uint64_t bytes, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("qom-type").value("memory-backend-memfd").key("id").value(id);
  json.key("size").value(bytes).key("share").value(true).end_object();
  return command("object-add", json.take(), -1, timeout);
}

Task<void> Qmp::object_del(std::string id, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("id").value(id).end_object();
  return command("object-del", json.take(), -1, timeout);
}

Task<void> Qmp::device_set(std::string id, std::string property, std::uint64_t value,
                           Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("path").value("/machine/peripheral/" + id);
  json.key("property").value(property).key("value").value(value).end_object();
  return command("qom-set", json.take(), -1, timeout);
}

Task<std::vector<QmpCpuPlace>> Qmp::query_cpu_places(Timeout timeout) {
  const auto connection = connection_;
  auto answer = co_await connection->execute("query-hotpluggable-cpus", "", -1, timeout);
  QmpReply reply = CO_TRY(std::move(answer), "query-hotpluggable-cpus");
  co_return std::move(reply.cpu_places);
}

Task<void> Qmp::netdev_add(QmpTap tap, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("type").value("tap").key("id").value(tap.id);
  json.key("fd").value(tap.fd_name).end_object();
  return command("netdev_add", json.take(), -1, timeout);
}

Task<void> Qmp::netdev_del(std::string id, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("id").value(id).end_object();
  return command("netdev_del", json.take(), -1, timeout);
}

Task<void> Qmp::block_add(std::string node, int fd, Timeout timeout) {
  constexpr int kFdSet = 1;  // QEMU's name for the descriptor, where one more would be a file's
  JsonWriter set;
  set.begin_object().key("fdset-id").value(kFdSet).end_object();
  auto given = co_await command("add-fd", set.take(), fd, timeout);
  CO_TRY(std::move(given));
  JsonWriter json;
  json.begin_object().key("driver").value("file").key("node-name").value(node);
  json.key("filename").value(fmt::format("/dev/fdset/{}", kFdSet));
  json.key("locking")
      .value("off")
      .key("discard")
      .value("unmap")
      .key("detect-zeroes")
      .value("unmap");
  auto added = co_await command("blockdev-add", json.end_object().take(), -1, timeout);
  if (added) co_return Result<void>{};
  JsonWriter unset;
  unset.begin_object().key("fdset-id").value(kFdSet).end_object();
  (void)co_await command("remove-fd", unset.take(), -1, timeout);
  co_return added;
}

Task<void> Qmp::block_del(std::string node, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("node-name").value(node).end_object();
  return command("blockdev-del", json.take(), -1, timeout);
}

Task<void> Qmp::getfd(std::string name, int fd, Timeout timeout) {
  JsonWriter json;
  json.begin_object().key("fdname").value(name).end_object();
  return command("getfd", json.take(), fd, timeout);
}

Task<void> Qmp::migrate(std::string command_name, int fd, Timeout timeout) {
  const auto connection = connection_;
  JsonWriter json;
  json.begin_object().key("capabilities").begin_array();
  for (const char* capability : {"x-ignore-shared", "events"}) {
    json.begin_object().key("capability").value(capability).key("state").value(true).end_object();
  }
  auto prepared = co_await connection->execute("migrate-set-capabilities",
                                               json.end_array().end_object().take(), -1, timeout);
  CO_TRY(std::move(prepared), "migrate-set-capabilities");
  auto given = co_await getfd("state", fd, timeout);
  CO_TRY(std::move(given));
  auto begun = co_await connection->execute(command_name, R"({"uri":"fd:state"})", -1, timeout);
  CO_TRY(std::move(begun), "{}", command_name);
  auto ended = co_await connection->wait_migrated(timeout);
  const std::string how = CO_TRY(std::move(ended), "{}", command_name);
  if (how != "completed") {
    co_return fail(ErrorKind::failed_precondition, fmt::format("{}: {}", command_name, how));
  }
  co_return Result<void>{};
}

Task<void> Qmp::save_state(int fd, Timeout timeout) {
  return migrate("migrate", fd, timeout);
}

Task<void> Qmp::load_state(int fd, Timeout timeout) {
  return migrate("migrate-incoming", fd, timeout);
}

}  // namespace agentvm::vmm
