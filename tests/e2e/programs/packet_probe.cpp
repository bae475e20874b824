// A hostile guest's tools, for root in a container: one action, what came of it in a word or two on
// standard output. Static, so that any root file system can hold it.
//   tcp ADDRESS PORT TEXT   the answer, or "refused", "reset", "ended", "silent", "unreachable"
//   hello ADDRESS PORT NAME the same with a TLS ClientHello for NAME: "answered"
//   ask SERVER NAME TYPE    a DNS question over UDP: "code 3", or addresses
//   spray MAC TEXT          frames and packets of every kind that a policy could forget
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr int kPatienceMs = 3000;  // for what is never answered

int say(const std::string& what) {
  std::puts(what.c_str());
  return 0;
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] int family() const { return storage.ss_family; }
};

Address parse(const std::string& text, int port) {
  Address address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *four;
  } else if (::inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *six;
  }
  return address;
}

std::string reason() {
  switch (errno) {
    case ECONNREFUSED:
      return "refused";
    case ECONNRESET:
      return "reset";
    case EAGAIN:
    case EINPROGRESS:
    case ETIMEDOUT:
      return "silent";
    case EHOSTUNREACH:
    case ENETUNREACH:
      return "unreachable";
    default:
      return ::strerrorname_np(errno);
  }
}

// What comes back, or how it ended.
std::string exchange(const std::string& host, int port, const std::string& bytes) {
  const Address to = parse(host, port);
  const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{kPatienceMs / 1000, 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  (void)::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string seen;
  if (::connect(fd, to.get(), to.size) != 0 ||
      ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
    seen = reason();
  } else {
    std::array<char, 4096> answer{};
    const ssize_t n = ::recv(fd, answer.data(), answer.size(), 0);
    seen = n > 0    ? std::string(answer.data(), static_cast<std::size_t>(n))
           : n == 0 ? "ended"
                    : reason();
  }
  ::close(fd);
  return seen;
}

std::string sized(const std::string& bytes, unsigned width) {
  std::string size;
  for (unsigned i = width; i-- > 0;) size += static_cast<char>(bytes.size() >> (8 * i));
  return size + bytes;
}

// RFC 8446, 4.1.2: one cipher suite, the name and TLS 1.3.
std::string client_hello(const std::string& name) {
  const std::string server = sized('\0' + sized(name, 2), 2);
  const std::string extensions = std::string("\0\0", 2) + sized(server, 2) +
                                 std::string("\0\x2b", 2) + sized(sized("\3\4", 1), 2);
  const std::string body = std::string("\3\3", 2) + std::string(32, 'r') + sized("", 1) +
                           sized(std::string("\x13\1", 2), 2) + sized(std::string(1, '\0'), 1) +
                           sized(extensions, 2);
  return std::string("\x16\3\1", 3) + sized('\1' + sized(body, 3), 2);
}

std::string question(const std::string& name, int type) {
  std::string bytes("\x12\x34\1\0\0\1\0\0\0\0\0\0", 12);
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    bytes += sized(name.substr(at, dot - at), 1);
    at = dot + 1;
  }
  return bytes + '\0' + '\0' + static_cast<char>(type) + std::string("\0\1", 2);
}

int ask(const std::string& server, const std::string& name, int type) {
  const Address to = parse(server, 53);
  const std::string query = question(name, type);
  const int fd = ::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const timeval patience{kPatienceMs / 1000, 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::array<unsigned char, 4096> answer{};
  if (::connect(fd, to.get(), to.size) != 0 || ::send(fd, query.data(), query.size(), 0) < 0) {
    return say(reason());
  }
  const ssize_t n = ::recv(fd, answer.data(), answer.size(), 0);
  if (n < 12) return say(reason());
  if ((answer[3] & 0xf) != 0) return say("code " + std::to_string(answer[3] & 0xf));
  // Of one record: what is behind its last ten bytes of header.
  std::array<char, INET6_ADDRSTRLEN> text{};
  const std::size_t size = type == 28 ? 16 : 4;
  const auto* address = answer.data() + static_cast<std::size_t>(n) - size;
  if (answer[7] == 0) return say("nothing");
  return say(::inet_ntop(type == 28 ? AF_INET6 : AF_INET, address, text.data(), text.size()));
}

class Sprayer {
 public:
  Sprayer(const char* mac, std::string text) : text_(std::move(text)) {
    frames_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    to_.sll_family = AF_PACKET;
    to_.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
    std::array<unsigned, 6> bytes{};
    (void)std::sscanf(mac, "%x:%x:%x:%x:%x:%x", &bytes[0], &bytes[1], &bytes[2], &bytes[3],
                      &bytes[4], &bytes[5]);
    for (const unsigned byte : bytes) mac_ += static_cast<char>(byte);
  }

  int run() {
    const std::vector<std::string> hosts{"5.6.7.8",     "5.6.7.66",       "10.88.0.1",
                                         "10.88.0.2",   "10.213.0.1",     "169.254.169.254",
                                         "224.0.0.251", "255.255.255.255"};
    const std::vector<std::string> sources{"10.213.0.2", "10.88.0.2", "172.17.0.2", "5.6.7.8"};
    for (const std::string& to : hosts) {
      for (const std::string& from : sources) each_protocol(from, to);
      raw_sockets(to);
      datagrams(to);
    }
    for (const std::string to : {"2a0c::8", "2a0c::66", "fd88::1", "fe80::1", "ff02::1"}) {
      for (const std::string from : {"fd61:6774:766d::2", "fd88::2", "2a0c::66", "fe80::2"}) {
        each_protocol(from, to);
      }
      datagrams(to);
    }
    other_frames();
    return say(sent_ > 2000 ? "sprayed" : "could not send");
  }

 private:
  void frame(std::uint16_t type, const std::string& payload) {
    for (const std::string& to : {mac_, std::string(6, '\xff')}) {
      const std::string bytes = to + std::string("\2\0\0\0\0\7", 6) + static_cast<char>(type >> 8) +
                                static_cast<char>(type) + payload;
      if (::sendto(frames_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&to_),
                   sizeof to_) > 0) {
        ++sent_;
      }
    }
  }

  void each_protocol(const std::string& from, const std::string& to) {
    for (const int protocol : {1, 2, 4, 6, 17, 41, 47, 50, 58, 132}) {
      for (const int port : {53, 443, 4433, 8080}) frame_of(from, to, protocol, port);
    }
  }

  static std::string address_of(const std::string& text) {
    const Address address = parse(text, 0);
    if (address.family() == AF_INET) {
      const auto* four = reinterpret_cast<const sockaddr_in*>(&address.storage);
      return {reinterpret_cast<const char*>(&four->sin_addr), 4};
    }
    const auto* six = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    return {reinterpret_cast<const char*>(&six->sin6_addr), 16};
  }

  static std::uint16_t checksum(const std::string& bytes) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = static_cast<unsigned char>(bytes[i]);
      sum += i % 2 == 0 ? static_cast<std::uint32_t>(byte) << 8 : byte;
    }
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
  }

  static void put(std::string& bytes, std::size_t at, std::size_t value) {
    bytes[at] = static_cast<char>(value >> 8);
    bytes[at + 1] = static_cast<char>(value);
  }

  void frame_of(const std::string& from, const std::string& to, int protocol, int port) {
    const std::string ends = address_of(from) + address_of(to);
    std::string body(protocol == 6 ? 20 : 8, '\0');
    put(body, 0, protocol == 1 ? 0x0800 : protocol == 58 ? 0x8000 : 40'000);
    if (protocol == 6 || protocol == 17) put(body, 2, static_cast<std::size_t>(port));
    if (protocol == 6) {
      put(body, 12, port == 8080 ? 0x5010 : 0x5002);  // an answer to nothing; a connection
    }
    body += text_;
    if (protocol == 17) put(body, 4, body.size());
    std::string pseudo(4, '\0');
    put(pseudo, 0, body.size());
    put(pseudo, 2, static_cast<std::size_t>(protocol));
    const std::size_t place = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;
    put(body, place, checksum(protocol == 1 ? body : ends + pseudo + body));
    if (ends.size() == 32) {
      std::string header("\x60\0\0\0\0\0\0\x40", 8);
      put(header, 4, body.size());
      header[6] = static_cast<char>(protocol);
      header[7] = '\xff';
      return frame(ETHERTYPE_IPV6, header + ends + body);
    }
    std::string header("\x45\0\0\0\0\1\0\0\x40\0\0\0", 12);
    put(header, 2, 20 + body.size());
    header[9] = static_cast<char>(protocol);
    put(header, 10, checksum(header + ends));
    frame(ETHERTYPE_IP, header + ends + body);
  }

  // As the guest's own kernel sends them.
  void raw_sockets(const std::string& host) {
    const Address to = parse(host, 0);
    for (const int protocol : {1, 4, 47, 50, 132, 255}) {
      const int fd = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, protocol);
      if (::sendto(fd, text_.data(), text_.size(), 0, to.get(), to.size) > 0) ++sent_;
      ::close(fd);
    }
  }

  void datagrams(const std::string& host) {
    for (const int port : {53, 67, 123, 443, 500, 5353, 51'820}) {
      const Address to = parse(host, port);
      const int fd = ::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
      const int on = 1;
      (void)::setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
      if (::sendto(fd, text_.data(), text_.size(), 0, to.get(), to.size) > 0) ++sent_;
      ::close(fd);
    }
  }

  // Router advertisements, redirects, ARP, tags, and noise.
  void other_frames() {
    for (const int type : {133, 134, 135, 136, 137}) {
      for (const std::string from : {"fe80::2", "2a0c::66", "fd61:6774:766d::2"}) {
        for (const std::string to : {"ff02::1", "fd61:6774:766d::1", "2a0c::66"}) {
          std::string body(16, '\0');
          body[0] = static_cast<char>(type);
          put(body, 6, 1800);
          body += std::string("\3\4\x40\xc0\0\0\7\x08\0\0\7\x08\0\0\0\0", 16) +
                  address_of("2a0c::") + text_;
          const std::string ends = address_of(from) + address_of(to);
          std::string pseudo(4, '\0');
          put(pseudo, 0, body.size());
          pseudo[3] = 58;
          put(body, 2, checksum(ends + pseudo + body));
          std::string header("\x60\0\0\0\0\0\x3a\xff", 8);
          put(header, 4, body.size());
          frame(ETHERTYPE_IPV6, header + ends + body);
        }
      }
    }
    std::mt19937 random(1);
    for (const int type : {0x0806, 0x8100, 0x8863, 0x8864, 0x88cc, 0x0800, 0x86dd}) {
      for (int i = 0; i < 100; ++i) {
        std::string noise = text_;
        for (char& byte : noise) {
          if (random() % 2 == 0) byte = static_cast<char>(random());
        }
        frame(static_cast<std::uint16_t>(type), noise);
      }
    }
  }

  std::string text_;
  std::string mac_;
  int frames_ = -1;
  sockaddr_ll to_{};
  int sent_ = 0;
};

}  // namespace

int main(int count, char** words) {
  const std::string action = count > 3 ? words[1] : "";
  if (action == "tcp" && count == 5) return say(exchange(words[2], std::atoi(words[3]), words[4]));
  if (action == "hello" && count == 5) {
    const std::string answer = exchange(words[2], std::atoi(words[3]), client_hello(words[4]));
    return say(answer.starts_with('\x16') ? "answered" : answer);
  }
  if (action == "ask" && count == 5) return ask(words[2], words[3], std::atoi(words[4]));
  if (action == "spray") return Sprayer(words[2], words[3]).run();
  return say("usage: packet_probe tcp|hello|ask|spray ...");
}
