#include "tests/egress/http_world.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "oci/base/json_writer.h"

namespace agentvm::egress {

namespace {

constexpr const char* kNames[] = {"server.test", "free.test",  "git.test",  "keyless.test",
                                  "raw.test",    "wrong.test", "gone.test", "unpinned.test"};

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void run(const std::vector<std::string>& argv) {
  const auto outcome = e2e::run_command(argv);
  if (outcome.status != 0) throw std::runtime_error(argv[0] + ": " + outcome.err);
}

void write_credential(JsonWriter& json, const std::string& name, const std::string& host,
                      const std::vector<std::pair<std::string, std::string>>& headers) {
  json.begin_object().key("name").value(name).key("hosts").begin_array().value(host).end_array();
  json.key("headers").begin_array();
  for (const auto& [header, format] : headers) {
    json.begin_object().key("name").value(header).key("format").value(format).end_object();
  }
  json.end_array().end_object();
}

}  // namespace

HttpWorld::HttpWorld() {
  make_certificates();
  write_settings();
  e2e::CommandOptions until_we_end;
  until_we_end.null_input = false;
  server_ = std::make_unique<e2e::Background>(
      std::vector<std::string>{"node", AGENTVM_EGRESS_DATA "/server.mjs", directory_ / "server.pem",
                               directory_ / "server.key", directory_ / "ports", directory_ / "git"},
      until_we_end);
  if (!server_->wait_for_output("ready")) throw std::runtime_error(server_->wait().err);
  std::string https, http, raw;
  std::istringstream(text_of(directory_ / "ports")) >> https >> http >> raw;
  std::vector<std::string> argv = {AGENTVM_HTTP_GATEWAY,       directory_ / "gateway.json",
                                   directory_ / "values.json", directory_ / "server.pem",
                                   directory_ / "records",     directory_ / "port",
                                   "raw.test:443=" + raw,      "git.test:own=" + https};
  for (const std::string name : {"server", "free", "git", "keyless", "wrong"}) {
    argv.push_back(name + ".test:443=" + https);
    argv.push_back(name + ".test:80=" + http);
  }
  gateway_ = std::make_unique<e2e::Background>(argv);
  if (!gateway_->wait_for_output("ready")) throw std::runtime_error(gateway_->wait().err);
  gateway_port_ = static_cast<std::uint16_t>(std::stoi(text_of(directory_ / "port")));
}

void HttpWorld::make_certificates() const {
  const auto make = [this](const std::string& name, const std::string& names) {
    run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", directory_ / (name + ".key"), "-out", directory_ / (name + ".pem"),
         "-subj", "/CN=" + name, "-addext", "subjectAltName=" + names});
  };
  make("server",
       "DNS:server.test,DNS:free.test,DNS:git.test,DNS:keyless.test,DNS:raw.test,DNS:gone.test");
  make("ca", "DNS:unused");
}

void HttpWorld::write_settings() const {
  JsonWriter json;
  json.begin_object().key("version").value(1).key("sandbox").value("web");
  json.key("container").value(std::string(64, '0')).key("default").value("deny");
  json.key("layers").begin_array().begin_object().key("name").value("user");
  json.key("rules").begin_array();
  for (const char* name : kNames) {
    json.begin_object().key("allow").value(true).key("target").value(name).end_object();
  }
  json.begin_object().key("allow").value(false).key("target").value("server.test");
  json.key("path").value("/denied/**").end_object();
  json.end_array().end_object().end_array();
  json.key("credentials").begin_array();
  write_credential(json, "main", "server.test",
                   {{"x-api-key", "{}"}, {"authorization", "Bearer {}"}});
  write_credential(json, "git", "git.test", {{"authorization", "basic:x-access-token"}});
  write_credential(json, "keyless", "keyless.test", {{"x-api-key", "{}"}});
  write_credential(json, "raw", "raw.test", {{"x-api-key", "{}"}});
  json.end_array();
  json.key("ca").begin_object().key("certificate").value(text_of(directory_ / "ca.pem"));
  json.key("key").value(text_of(directory_ / "ca.key")).end_object().end_object();
  directory_.write("gateway.json", json.take());
  directory_.write("values.json", R"({"version":1,"values":{"main":"real-api-key",)"
                                  R"("git":"real-git-token","raw":"real-raw-key"}})");
}

e2e::Outcome HttpWorld::curl(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {
      "curl",     "-sS",       "-m",           "60",
      "--cacert", authority(), "--connect-to", "::127.0.0.1:" + gateway_port()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return e2e::run_command(argv);
}

int HttpWorld::connect() const {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = ::htons(gateway_port_);
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("connect to the gateway");
  }
  const timeval patience{60, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

std::string HttpWorld::exchange(const std::string& bytes) const {
  const int fd = connect();
  write_text(fd, bytes);
  std::string answer = read_until(fd, {});
  ::close(fd);
  return answer;
}

std::vector<std::string> HttpWorld::records(std::size_t count) const {
  std::vector<std::string> lines;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (lines.size() < count && std::chrono::steady_clock::now() < deadline) {
    lines.clear();
    std::ifstream file(directory_ / "records");
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    std::this_thread::yield();
  }
  return lines;
}

std::size_t HttpWorld::gateway_rss_kib() const {
  std::ifstream status("/proc/" + std::to_string(gateway_->pid()) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  return 0;
}

std::string read_until(int fd, const std::string& text) {
  std::string got;
  std::array<char, 4096> piece{};
  while (text.empty() || got.find(text) == std::string::npos) {
    const ssize_t size = ::recv(fd, piece.data(), piece.size(), 0);
    if (size <= 0) break;
    got.append(piece.data(), static_cast<std::size_t>(size));
  }
  return got;
}

void write_text(int fd, const std::string& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t put = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
    if (put <= 0) return;  // whoever closes early has answered
    at += static_cast<std::size_t>(put);
  }
}

}  // namespace agentvm::egress
