#include "egress/client_hello.h"

#include <set>

#include "egress/byte_reader.h"
#include "egress/host.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr std::uint32_t kHandshakeRecord = 22;
constexpr std::uint32_t kClientHelloMessage = 1;
constexpr std::size_t kRecordHeader = 5;
constexpr std::size_t kMessageHeader = 4;
constexpr std::size_t kMaxRecord = 16384;
constexpr std::size_t kRandom = 32;
constexpr std::uint32_t kServerName = 0;
constexpr std::uint32_t kAlpn = 16;
constexpr std::uint32_t kEncryptedClientHello = 0xfe0d;
constexpr std::uint32_t kEncryptedServerName = 0xffce;
constexpr std::size_t kMaxProtocols = 32;

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, "TLS ClientHello: " + std::string(why));
}

// The handshake's bytes, out of the records that have come so far.
Result<std::string> unpack_records(std::string_view bytes) {
  std::string message;
  while (bytes.size() >= kRecordHeader) {
    ByteReader header(bytes.substr(0, kRecordHeader));
    if (header.number(1) != kHandshakeRecord) return wrong("this is no handshake");
    if (header.number(1) != 3) return wrong("this is no version of TLS");
    (void)header.number(1);
    const std::size_t size = header.number(2);
    if (size == 0 || size > kMaxRecord) return wrong("a record of no possible length");
    message.append(bytes.substr(kRecordHeader, size));
    if (bytes.size() < kRecordHeader + size) return message;
    bytes.remove_prefix(kRecordHeader + size);
    if (message.size() >= kMessageHeader) {
      const std::size_t whole = ByteReader(std::string_view(message).substr(1)).number(3);
      if (message.size() >= kMessageHeader + whole) return message;
    }
  }
  if (!bytes.empty() && static_cast<unsigned char>(bytes[0]) != kHandshakeRecord) {
    return wrong("this is no handshake");
  }
  return message;
}

Result<std::string> parse_server_name(std::string_view data) {
  ByteReader list(data);
  ByteReader names(list.piece(2));
  if (list.failed() || !list.at_end()) return wrong("a malformed server name");
  const std::uint32_t type = names.number(1);
  const std::string_view name = names.piece(2);
  if (names.failed() || type != 0) return wrong("a malformed server name");
  if (!names.at_end()) return wrong("more than one server name");
  return parse_host_name(name);
}

Result<std::vector<std::string>> parse_alpn(std::string_view data) {
  std::vector<std::string> protocols;
  ByteReader list(data);
  ByteReader names(list.piece(2));
  if (list.failed() || !list.at_end()) return wrong("malformed protocols");
  while (!names.at_end()) {
    const std::string_view name = names.piece(1);
    if (names.failed() || name.empty()) return wrong("malformed protocols");
    if (protocols.size() == kMaxProtocols) return wrong("too many protocols");
    protocols.emplace_back(name);
  }
  return protocols;
}

Result<void> take_extension(ClientHello& hello, std::uint32_t type, std::string_view data) {
  if (type == kServerName) hello.server_name = TRY(parse_server_name(data));
  if (type == kAlpn) hello.alpn = TRY(parse_alpn(data));
  if (type == kEncryptedClientHello || type == kEncryptedServerName) hello.encrypted_name = true;
  return {};
}

Result<ClientHello> parse_body(std::string_view body) {
  ByteReader reader(body);
  (void)reader.number(2);  // version
  (void)reader.take(kRandom);
  (void)reader.piece(1);  // session
  (void)reader.piece(2);  // cipher suites
  (void)reader.piece(1);  // compressions
  if (reader.failed()) return wrong("it ends too early");
  ClientHello hello;
  if (reader.at_end()) return hello;
  ByteReader extensions(reader.piece(2));
  if (reader.failed() || !reader.at_end()) return wrong("its extensions do not end with it");
  std::set<std::uint32_t> seen;
  while (!extensions.at_end()) {
    const std::uint32_t type = extensions.number(2);
    const std::string_view data = extensions.piece(2);
    if (extensions.failed()) return wrong("an extension ends too early");
    // Which of the two would the server take?
    if (!seen.insert(type).second) return wrong("an extension twice");
    TRY(take_extension(hello, type, data));
  }
  return hello;
}

}  // namespace

Result<std::optional<ClientHello>> parse_client_hello(std::string_view bytes) {
  const std::string message = TRY(unpack_records(bytes.substr(0, 2 * kMaxClientHello)));
  if (!message.empty() && static_cast<unsigned char>(message[0]) != kClientHelloMessage) {
    return wrong("another message came first");
  }
  if (message.size() >= kMessageHeader) {
    const std::size_t size = ByteReader(std::string_view(message).substr(1)).number(3);
    if (size > kMaxClientHello) return wrong("it is too long");
    if (message.size() > kMessageHeader + size) return wrong("something follows in its record");
    if (message.size() == kMessageHeader + size) {
      return TRY(parse_body(std::string_view(message).substr(kMessageHeader)));
    }
  }
  // One byte a record, at most: then there is no end to wait for.
  if (bytes.size() >= 2 * kMaxClientHello) return wrong("it is too long");
  return std::nullopt;
}

}  // namespace agentvm::egress
