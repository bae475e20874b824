#include "tests/e2e/harness/stand_in_api.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "tests/e2e/harness/bundle.h"

namespace agentvm::e2e {

namespace fs = std::filesystem;

namespace {

// One that is nobody's own (RFC 5737's and private ones are never let through by a name).
constexpr const char* kAddress = "93.184.216.34";
constexpr const char* kTrusted = "/etc/ssl/certs/ca-certificates.crt";

void openssl(const std::string& directory, const std::string& arguments) {
  CommandOptions options;
  options.directory = directory;
  const Outcome done = run_command({"sh", "-c", "openssl " + arguments}, options);
  ASSERT_EQ(done.status, 0) << done.err;
}

}  // namespace

void make_authority(const std::string& directory, const std::string& name) {
  openssl(directory,
          fmt::format("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                      "-keyout {0}.key -out {0}.pem -subj '/CN=test authority {0}'",
                      name));
}

StandInApi::StandInApi(std::string directory, const std::vector<std::string>& names)
    : directory_(std::move(directory)) {
  fs::create_directories(etc() + "/ssl/certs");
  make_authority(directory_, "world");
  std::string alternatives;
  for (const std::string& name : names) {
    alternatives += (alternatives.empty() ? "DNS:" : ",DNS:") + name;
  }
  write_file(directory_ + "/names", "subjectAltName=" + alternatives + "\n");
  openssl(directory_,
          "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key "
          "-out server.csr -subj /CN=stand-in");
  openssl(directory_,
          "x509 -req -in server.csr -CA world.pem -CAkey world.key -days 2 -extfile names "
          "-out server.pem");
  write_file(etc() + "/ssl/certs/ca-certificates.crt",
             read_file(kTrusted) + read_file(directory_ + "/world.pem"));
}

void StandInApi::serve(const TestNetwork& network) {
  const Outcome added =
      network.run_outside({"ip", "address", "add", fmt::format("{}/32", kAddress), "dev", "lo"});
  ASSERT_EQ(added.status, 0) << added.err;
  server_ = std::make_unique<Background>(
      network.outside({AGENTVM_STAND_IN_API, kAddress, directory_ + "/server.pem",
                       directory_ + "/server.key", directory_ + "/requests"}));
  ASSERT_TRUE(server_->wait_for_output("ready\n"));
}

std::vector<StandInApi::Request> StandInApi::requests() const {
  std::vector<Request> all;
  std::istringstream lines(read_file(directory_ + "/requests"));
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    Request request{json.at("host"), json.at("path"), json.at("headers")};
    all.push_back(std::move(request));
  }
  return all;
}

}  // namespace agentvm::e2e
