#include "egress/http/http2_session.h"

#include <fmt/format.h>
#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "egress/http/head.h"
#include "oci/base/try.h"

namespace agentvm::egress::http {

namespace {

// As many as clients have at a time; with the windows this bounds what a guest can have in memory.
constexpr std::uint32_t kMaxStreams = 100;
constexpr std::uint32_t kStreamWindow = 128U << 10;
constexpr std::int32_t kConnectionWindow = 512 << 10;
constexpr std::size_t kWritten = 32U << 10;  // at a time

// What nghttp2 allocates has held requests with their secrets.
void wipe_and_free(void* pointer, void* /*unused*/) {
  if (pointer) ::explicit_bzero(pointer, ::malloc_usable_size(pointer));
  std::free(pointer);
}
void* allocate(std::size_t size, void* /*unused*/) {
  return std::malloc(size);
}
void* allocate_zeroed(std::size_t count, std::size_t size, void* /*unused*/) {
  return std::calloc(count, size);
}
void* reallocate(void* pointer, std::size_t size, void* unused) {
  if (!pointer) return std::malloc(size);
  void* const moved = std::malloc(size);
  if (!moved) return nullptr;
  std::memcpy(moved, pointer, std::min(size, ::malloc_usable_size(pointer)));
  wipe_and_free(pointer, unused);
  return moved;
}
nghttp2_mem wiping_memory{nullptr, allocate, wipe_and_free, allocate_zeroed, reallocate};

std::uint8_t* bytes_of(std::string_view text) {
  // nghttp2 copies: it writes nothing.
  return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
}

void add(std::vector<nghttp2_nv>& list, std::string_view name, std::string_view value,
         std::uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  list.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), flags});
}

// Growing by itself a string would leave what it held behind.
void append_wiped(std::string& out, std::string_view bytes) {
  if (out.size() + bytes.size() > out.capacity()) {
    std::string larger;
    larger.reserve(2 * out.size() + bytes.size());
    larger += out;
    ::explicit_bzero(out.data(), out.size());
    out.swap(larger);
  }
  out += bytes;
}

std::unexpected<Error> fail_http2(std::string doing, long code) {
  return fail(ErrorKind::invalid_argument,
              doing + ": " + ::nghttp2_strerror(static_cast<int>(code)));
}

std::string lower(std::string_view text) {
  std::string low(text);
  for (char& c : low) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return low;
}

// Fields with names as HTTP/2 wants them; the list borrows from `names` and `fields`.
void add_fields(std::vector<nghttp2_nv>& list, std::vector<std::string>& names,
                const Fields& fields) {
  names.reserve(fields.list().size());  // views of short strings stay
  for (const Field& field : fields.list()) {
    add(list, names.emplace_back(lower(field.name)), field.value);
  }
}

}  // namespace

// nghttp2's callbacks; the user data is the Http2Session.
struct Http2Callbacks {
  static Http2Session& self(void* user) { return *static_cast<Http2Session*>(user); }

  static int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    self(user).heads_[frame->hd.stream_id] = {};
    return 0;
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name_data,
                       std::size_t name_size, const std::uint8_t* value_data,
                       std::size_t value_size, std::uint8_t /*flags*/, void* user) {
    auto& heads = self(user).heads_;
    const auto found = heads.find(frame->hd.stream_id);
    if (found == heads.end()) return 0;
    Http2Head& head = found->second;
    const std::string_view name(reinterpret_cast<const char*>(name_data), name_size);
    const std::string_view value(reinterpret_cast<const char*>(value_data), value_size);
    head.size += name.size() + value.size();
    if (head.size > kMaxHead || head.fields.list().size() == kMaxFields) {
      heads.erase(found);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream
    }
    if (name == ":method") {
      head.method = value;
    } else if (name == ":scheme") {
      head.scheme = value;
    } else if (name == ":authority") {
      head.authority = value;
    } else if (name == ":path") {
      head.path = value;
    } else if (name == ":status") {
      head.status = value;
    } else {
      head.fields.add(name, value);
    }
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Session& session = self(user);
    const std::int32_t stream = frame->hd.stream_id;
    const bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    const bool last = carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS) {
      if (auto head = session.heads_.extract(stream)) {
        session.events_.on_head(stream, std::move(head.mapped()), last);
      }
    }
    if (last) session.events_.on_end(stream);
    if (frame->hd.type == NGHTTP2_GOAWAY) session.events_.on_goaway();
    return 0;
  }

  static int on_data(nghttp2_session*, std::uint8_t /*flags*/, std::int32_t stream,
                     const std::uint8_t* data, std::size_t size, void* user) {
    self(user).events_.on_data(stream, {reinterpret_cast<const char*>(data), size});
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t error_code, void* user) {
    self(user).heads_.erase(stream);
    self(user).events_.on_closed(stream, error_code);
    return 0;
  }

  static ssize_t on_pull(nghttp2_session*, std::int32_t stream, std::uint8_t* into,
                         std::size_t size, std::uint32_t* flags, nghttp2_data_source*, void* user) {
    const auto pulled = self(user).events_.pull(stream, {reinterpret_cast<char*>(into), size});
    if (pulled.size == 0 && !pulled.ended) return NGHTTP2_ERR_DEFERRED;
    if (pulled.ended) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (pulled.trailers) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return static_cast<ssize_t>(pulled.size);
  }
};

Result<std::unique_ptr<Http2Session>> Http2Session::create(Role role, ByteStream& stream,
                                                           Http2Events& events,
                                                           const asio::any_io_executor& executor) {
  std::unique_ptr<Http2Session> session(new Http2Session(stream, events, executor));
  TRY(session->begin(role));
  return session;
}

Result<void> Http2Session::begin(Role role) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  if (::nghttp2_session_callbacks_new(&callbacks) != 0) {
    return fail(ErrorKind::internal, "begin HTTP/2");
  }
  const std::unique_ptr<nghttp2_session_callbacks, decltype(&::nghttp2_session_callbacks_del)>
      free_callbacks(callbacks, &::nghttp2_session_callbacks_del);
  if (::nghttp2_option_new(&option) != 0) return fail(ErrorKind::internal, "begin HTTP/2");
  const std::unique_ptr<nghttp2_option, decltype(&::nghttp2_option_del)> free_option(
      option, &::nghttp2_option_del);
  ::nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
                                                            Http2Callbacks::on_begin_headers);
  ::nghttp2_session_callbacks_set_on_header_callback(callbacks, Http2Callbacks::on_header);
  ::nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Http2Callbacks::on_frame);
  ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Http2Callbacks::on_data);
  ::nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Http2Callbacks::on_close);
  // Windows open when the other end has taken what came, not before.
  ::nghttp2_option_set_no_auto_window_update(option, 1);
  const auto create =
      role == Role::server ? ::nghttp2_session_server_new3 : ::nghttp2_session_client_new3;
  if (create(&session_, callbacks, this, option, &wiping_memory) != 0) {
    return fail(ErrorKind::internal, "begin HTTP/2");
  }
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(kMaxHead)}};
  if (role == Role::server) {
    settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams});
  } else {
    settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  }
  ::nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  ::nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  kick();
  return {};
}

Http2Session::~Http2Session() {
  ::nghttp2_session_del(session_);
}

Task<void> Http2Session::read_all() {
  std::vector<char> buffer(16U << 10);
  while (!stopped_) {
    auto got = co_await stream_.read_some(buffer);
    const std::size_t size = CO_TRY(std::move(got));
    if (size == 0) break;
    const ssize_t used = ::nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(buffer.data()), size);
    kick();
    if (used < 0) co_return fail_http2("read HTTP/2", used);
    if (is_over()) break;
  }
  co_return Result<void>();
}

Task<void> Http2Session::write_all() {
  std::string out;
  for (;;) {
    kicked_ = false;
    while (out.size() < kWritten) {
      const std::uint8_t* bytes = nullptr;
      const ssize_t size = ::nghttp2_session_mem_send(session_, &bytes);
      if (size < 0) co_return fail_http2("write HTTP/2", size);
      if (size == 0) break;
      append_wiped(out, {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)});
    }
    if (!out.empty()) {
      auto written = co_await stream_.write(out);
      ::explicit_bzero(out.data(), out.size());
      out = {};
      CO_TRY(std::move(written));
      continue;
    }
    if (stopped_ || is_over()) co_return Result<void>();
    if (!kicked_) (void)co_await wake_.async_wait(use_result);
  }
}

void Http2Session::kick() {
  kicked_ = true;
  wake_.cancel();
}

void Http2Session::stop() {
  stopped_ = true;
  kick();
}

bool Http2Session::is_over() const {
  return ::nghttp2_session_want_read(session_) == 0 && ::nghttp2_session_want_write(session_) == 0;
}

Result<std::int32_t> Http2Session::request(const std::vector<Field>& pseudo, const Fields& fields,
                                           const std::vector<SecretField>& secrets, bool body) {
  std::vector<nghttp2_nv> list;
  std::vector<std::string> names;
  for (const Field& field : pseudo) add(list, field.name, field.value);
  add_fields(list, names, fields);
  for (const SecretField& secret : secrets) {
    add(list, secret.name, secret.value.reveal(), NGHTTP2_NV_FLAG_NO_INDEX);
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Http2Callbacks::on_pull;
  const std::int32_t stream = ::nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                                       body ? &provider : nullptr, nullptr);
  if (stream < 0) {
    return fail(ErrorKind::unavailable,
                fmt::format("it takes no more requests: {}", ::nghttp2_strerror(stream)));
  }
  kick();
  return stream;
}

void Http2Session::answer(std::int32_t stream, const std::string& status, const Fields& fields,
                          bool body) {
  std::vector<nghttp2_nv> list;
  std::vector<std::string> names;
  add(list, ":status", status);
  add_fields(list, names, fields);
  if (status.starts_with('1')) {
    ::nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream, nullptr, list.data(), list.size(),
                             nullptr);
  } else {
    nghttp2_data_provider provider{};
    provider.read_callback = Http2Callbacks::on_pull;
    ::nghttp2_submit_response(session_, stream, list.data(), list.size(),
                              body ? &provider : nullptr);
  }
  kick();
}

void Http2Session::trailers(std::int32_t stream, const Fields& fields) {
  std::vector<nghttp2_nv> list;
  std::vector<std::string> names;
  add_fields(list, names, fields);
  ::nghttp2_submit_trailer(session_, stream, list.data(), list.size());
  kick();
}

void Http2Session::reset(std::int32_t stream, std::uint32_t error_code) {
  ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error_code);
  kick();
}

void Http2Session::resume(std::int32_t stream) {
  ::nghttp2_session_resume_data(session_, stream);
  kick();
}

void Http2Session::consume(std::int32_t stream, std::size_t size) {
  ::nghttp2_session_consume(session_, stream, size);
  kick();
}

void Http2Session::goaway() {
  ::nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                          ::nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                          nullptr, 0);
  kick();
}

}  // namespace agentvm::egress::http
