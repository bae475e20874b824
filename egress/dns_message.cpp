#include "egress/dns_message.h"

#include <algorithm>
#include <set>

#include "egress/byte_reader.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMaxRecords = 512;
constexpr std::size_t kMaxAliases = 16;
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::size_t kMaxJumps = 64;
constexpr std::uint16_t kResponse = 0x8000;
constexpr std::uint16_t kOpcode = 0x7800;
constexpr std::uint16_t kTruncated = 0x0200;
constexpr std::uint16_t kRecursionDesired = 0x0100;
constexpr std::uint16_t kRecursionAvailable = 0x0080;
constexpr std::uint16_t kCode = 0x000f;
constexpr std::uint8_t kPointer = 0xc0;
constexpr std::uint16_t kPointerToQuestion = 0xc000 | kHeader;

std::unexpected<Error> wrong(std::string_view why) {
  return fail(ErrorKind::invalid_argument, "DNS message: " + std::string(why));
}

// A message with a place in it: names point backwards.
class Cursor {
 public:
  Cursor(std::string_view message, std::size_t at) : message_(message), at_(at) {}

  [[nodiscard]] std::size_t at() const { return at_; }
  Result<std::uint32_t> number(std::size_t bytes) {
    ByteReader reader(message_.substr(std::min(at_, message_.size())));
    const std::uint32_t value = reader.number(bytes);
    if (reader.failed()) return wrong("it ends too early");
    at_ += bytes;
    return value;
  }
  Result<std::string_view> take(std::size_t bytes) {
    if (bytes > message_.size() - std::min(at_, message_.size())) {
      return wrong("it ends too early");
    }
    const std::string_view taken = message_.substr(at_, bytes);
    at_ += bytes;
    return taken;
  }
  // Dotted. Pointers lead before themselves alone, so every name ends.
  Result<std::string> name();

 private:
  std::string_view message_;
  std::size_t at_;
};

Result<std::string> Cursor::name() {
  std::string text;
  Cursor place = *this;
  bool jumped = false;
  for (std::size_t jumps = 0; jumps <= kMaxJumps;) {
    const std::size_t start = place.at_;
    const std::uint32_t length = TRY(place.number(1));
    if ((length & kPointer) == kPointer) {
      const std::uint32_t low = TRY(place.number(1));
      const std::size_t target = ((length & ~std::uint32_t{kPointer}) << 8) | low;
      if (!jumped) at_ = place.at_;
      jumped = true;
      if (target >= start) return wrong("a name points forward");
      if (target < kHeader) return wrong("a name points into the header");
      place.at_ = target;
      ++jumps;
      continue;
    }
    if ((length & kPointer) != 0) return wrong("a label of an unknown kind");
    if (length == 0) {
      if (!jumped) at_ = place.at_;
      return text;
    }
    const std::string_view label = TRY(place.take(length));
    if (label.find('.') != std::string_view::npos) return wrong("a label with a dot");
    if (!text.empty()) text += '.';
    text += label;
    if (text.size() > kMaxNameBytes) return wrong("a name of more than 255 bytes");
  }
  return wrong("a name of too many pieces");
}

struct Header {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::array<std::uint32_t, 4> counts{};  // questions, answers, authorities, additional records
};

Result<Header> parse_header(Cursor& cursor) {
  Header header;
  header.id = static_cast<std::uint16_t>(TRY(cursor.number(2)));
  header.flags = static_cast<std::uint16_t>(TRY(cursor.number(2)));
  for (std::uint32_t& count : header.counts) count = TRY(cursor.number(2));
  if (header.counts[0] != 1) return wrong("it has not one question");
  if ((header.flags & kOpcode) != 0) return wrong("it is no standard query");
  return header;
}

Result<DnsQuestion> parse_question(Cursor& cursor) {
  DnsQuestion question;
  const std::string name = TRY(cursor.name());
  question.name = TRY(parse_host_name(name), "DNS message");
  question.type = static_cast<std::uint16_t>(TRY(cursor.number(2)));
  question.klass = static_cast<std::uint16_t>(TRY(cursor.number(2)));
  return question;
}

struct Record {
  std::string name;
  std::uint16_t type = 0;
  std::uint32_t ttl_s = 0;
  std::string alias;  // of a CNAME
  Address address;    // of A and AAAA
};

Result<Address> parse_data(std::uint16_t type, std::string_view data) {
  Address address;
  const std::size_t size = type == kDnsA ? 4 : address.bytes.size();
  if (data.size() != size) return wrong("an address of the wrong length");
  if (type == kDnsA) address.bytes[10] = address.bytes[11] = 0xff;
  std::ranges::copy(data, address.bytes.end() - static_cast<std::ptrdiff_t>(size));
  return address;
}

// A name that is no host name is nobody's alias: an empty one.
std::string host_or_nothing(const std::string& name) {
  return parse_host_name(name).value_or("");
}

Result<Record> parse_record(Cursor& cursor, std::string_view message) {
  Record record;
  const std::string name = TRY(cursor.name());
  record.name = host_or_nothing(name);
  record.type = static_cast<std::uint16_t>(TRY(cursor.number(2)));
  const std::uint32_t klass = TRY(cursor.number(2));
  record.ttl_s = TRY(cursor.number(4));
  const std::uint32_t size = TRY(cursor.number(2));
  Cursor inner(message, cursor.at());
  const std::string_view data = TRY(cursor.take(size));
  if (klass != kDnsInternet) {
    record.type = 0;
  } else if (record.type == kDnsCname) {
    const std::string alias = TRY(inner.name());
    if (inner.at() != cursor.at()) return wrong("an alias of the wrong length");
    record.alias = host_or_nothing(alias);
  } else if (record.type == kDnsA || record.type == kDnsAaaa) {
    record.address = TRY(parse_data(record.type, data));
  }
  return record;
}

// Follows the aliases from the question's name to the addresses.
Result<void> follow(DnsAnswer& answer, const std::vector<Record>& records) {
  std::string name = answer.question.name;
  std::uint32_t ttl = UINT32_MAX;
  std::set<std::string> seen{name};
  for (;;) {
    const auto alias = std::ranges::find_if(records, [&](const Record& record) {
      return record.type == kDnsCname && record.name == name;
    });
    if (alias == records.end()) break;
    if (alias->alias.empty()) return wrong("an alias that is no host name");
    if (answer.aliases.size() == kMaxAliases || !seen.insert(alias->alias).second) {
      return wrong("its aliases run in a circle");
    }
    name = alias->alias;
    ttl = std::min(ttl, alias->ttl_s);
    answer.aliases.push_back(name);
  }
  for (const Record& record : records) {
    if (record.name != name || record.type != answer.question.type) continue;
    if (record.type != kDnsA && record.type != kDnsAaaa) continue;
    answer.addresses.push_back({record.address, std::min(ttl, record.ttl_s)});
  }
  return {};
}

void put(std::string& to, std::uint32_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) to += static_cast<char>((value >> (8 * i)) & 0xff);
}

void put_header(std::string& to, std::uint16_t id, std::uint32_t flags, std::size_t answers) {
  put(to, id, 2);
  put(to, flags, 2);
  put(to, 1, 2);
  put(to, static_cast<std::uint32_t>(answers), 2);
  put(to, 0, 4);
}

std::uint32_t answer_flags(const DnsQuery& query, std::uint8_t code) {
  return kResponse | kRecursionAvailable | (query.recursion_desired ? kRecursionDesired : 0U) |
         code;
}

}  // namespace

Result<DnsQuery> parse_dns_query(std::string_view message) {
  if (message.size() > kMaxDnsMessage) return wrong("it is too long");
  Cursor cursor(message, 0);
  const Header header = TRY(parse_header(cursor));
  if ((header.flags & kResponse) != 0) return wrong("it is no question");
  if (header.counts[1] != 0 || header.counts[2] != 0) return wrong("a question with answers");
  DnsQuery query;
  query.id = header.id;
  query.recursion_desired = (header.flags & kRecursionDesired) != 0;
  query.question = TRY(parse_question(cursor));
  query.question_bytes = message.substr(kHeader, cursor.at() - kHeader);
  return query;
}

Result<DnsAnswer> parse_dns_answer(std::string_view message) {
  if (message.size() > kMaxDnsMessage) return wrong("it is too long");
  Cursor cursor(message, 0);
  const Header header = TRY(parse_header(cursor));
  if ((header.flags & kResponse) == 0) return wrong("it is no answer");
  if (header.counts[1] > kMaxRecords) return wrong("too many records");
  DnsAnswer answer;
  answer.id = header.id;
  answer.code = static_cast<std::uint8_t>(header.flags & kCode);
  answer.truncated = (header.flags & kTruncated) != 0;
  answer.question = TRY(parse_question(cursor));
  if (answer.truncated) return answer;
  std::vector<Record> records;
  for (std::uint32_t i = 0; i < header.counts[1]; ++i) {
    records.push_back(TRY(parse_record(cursor, message)));
  }
  TRY(follow(answer, records));
  return answer;
}

std::string write_dns_query(std::uint16_t id, const DnsQuestion& question) {
  std::string message;
  put_header(message, id, kRecursionDesired, 0);
  std::string_view rest = question.name;
  while (!rest.empty()) {
    const std::string_view label = rest.substr(0, rest.find('.'));
    put(message, static_cast<std::uint32_t>(label.size()), 1);
    message += label;
    rest.remove_prefix(std::min(label.size() + 1, rest.size()));
  }
  put(message, 0, 1);
  put(message, question.type, 2);
  put(message, question.klass, 2);
  return message;
}

std::string write_dns_refusal(const DnsQuery& query, std::uint8_t code) {
  std::string message;
  put_header(message, query.id, answer_flags(query, code), 0);
  return message + query.question_bytes;
}

std::string write_dns_answer(const DnsQuery& query, const std::vector<DnsAddress>& addresses) {
  std::string records;
  std::size_t count = 0;
  for (const DnsAddress& entry : addresses) {
    const bool ipv4 = is_ipv4(entry.address);
    if (query.question.type != (ipv4 ? kDnsA : kDnsAaaa) || count == kMaxRecords) continue;
    ++count;
    const std::size_t size = ipv4 ? 4 : entry.address.bytes.size();
    put(records, kPointerToQuestion, 2);
    put(records, query.question.type, 2);
    put(records, kDnsInternet, 2);
    put(records, entry.ttl_s, 4);
    put(records, static_cast<std::uint32_t>(size), 2);
    records.append(entry.address.bytes.end() - static_cast<std::ptrdiff_t>(size),
                   entry.address.bytes.end());
  }
  std::string message;
  put_header(message, query.id, answer_flags(query, kDnsNoError), count);
  return message + query.question_bytes + records;
}

}  // namespace agentvm::egress
