// Requests of curl's through the whole gateway: in the clear, out of opened TLS, and past it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <fstream>
#include <iterator>

#include "egress/tls/authority.h"
#include "oci/base/json_writer.h"
#include "tests/egress/gateway/world.h"

namespace agentvm::egress {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kHost = "93.184.216.34";

// openssl s_server with a certificate for good.test and passed.test that signs itself.
class GatewayRequests : public testing::Test {
 protected:
  GatewayRequests() {
    world.add_address("93.184.216.34/32");
    const e2e::Outcome made = e2e::run_command(
        {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", files / "key.pem", "-out", files / "certificate.pem", "-days", "2",
         "-subj", "/CN=test", "-addext", "subjectAltName=DNS:good.test,DNS:passed.test"});
    EXPECT_EQ(made.status, 0) << made.err;
    certificate = sys_read("certificate.pem");
  }
  std::string sys_read(const std::string& name) const {
    std::ifstream file(files / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Answers every request with what it was sent.
  std::vector<std::string> server() const {
    std::vector<std::string> argv{"nsenter", "--net=" + world.outside()};
    argv.insert(argv.end(),
                {"openssl", "s_server", "-accept", std::string(kHost) + ":443", "-cert",
                 files / "certificate.pem", "-key", files / "key.pem", "-www", "-quiet"});
    return argv;
  }

  TempDir files;
  World world;
  NameServer names{
      world.outside(),
      {{"good.test", {.addresses = {kHost}}}, {"passed.test", {.addresses = {kHost}}}}};
  std::string certificate;
};

TEST_F(GatewayRequests, OpensTlsForRulesAboutRequestsAndPassesTheRest) {
  const AuthorityPem authority = make_authority("test").value();
  files.write("ca.pem", authority.certificate);
  JsonWriter ca;
  ca.begin_object();
  ca.key("certificate").value(authority.certificate);
  ca.key("key").value(authority.key.reveal());
  ca.end_object();
  ASSERT_EQ(world.start({.rules = {"allow good.test GET /public/**", "allow passed.test"},
                         .more = "\"ca\":" + ca.take(),
                         .authorities = certificate}),
            "ready\n")
      << world.errors();
  const e2e::Background tls_server(server());
  ASSERT_TRUE(e2e::eventually([&] {
    return GuestSocket(socket_in(world.outside(), AF_INET, SOCK_STREAM)).connect(kHost, 443);
  }));
  const auto curl = [&](const std::string& trusted, const std::string& url) {
    return world.run({"curl", "-sS", "--cacert", files / trusted, url});
  };
  const e2e::Outcome passed = curl("certificate.pem", "https://passed.test/");
  EXPECT_THAT(passed.out, HasSubstr("s_server")) << passed.err;
  const e2e::Outcome allowed = curl("ca.pem", "https://good.test/public/x");
  EXPECT_THAT(allowed.out, HasSubstr("s_server")) << allowed.err << world.errors();
  const e2e::Outcome denied = curl("ca.pem", "https://good.test/private");
  EXPECT_THAT(denied.out, HasSubstr("good.test")) << denied.err;
  EXPECT_THAT(denied.out, Not(HasSubstr("s_server")));
  EXPECT_THAT(world.log(), HasSubstr(R"("protocol":"http","verdict":"allow","host":"good.test",)"
                                     R"("port":443,"address":"93.184.216.34","method":"GET",)"
                                     R"("path":"/public/x")"));
  EXPECT_THAT(world.log(), HasSubstr(R"("protocol":"tls","verdict":"allow","host":"passed.test")"));
  EXPECT_THAT(world.log(), HasSubstr(R"("verdict":"deny","host":"good.test","port":443,)"
                                     R"("address":"93.184.216.34","method":"GET",)"
                                     R"("path":"/private")"));
}

TEST_F(GatewayRequests, AnswersDeniedRequestsInTheClearAndUnknownNames) {
  ASSERT_EQ(world.start({.rules = {"allow good.test"}}), "ready\n");
  const e2e::Outcome unknown = world.run({"curl", "-sS", "http://bad.test/"});
  EXPECT_THAT(unknown.err, HasSubstr("curl: (6) Could not resolve host: bad.test"));
  const e2e::Outcome denied = world.run({"curl", "-sSi", std::string("http://") + kHost + "/"});
  EXPECT_THAT(denied.out, HasSubstr("HTTP/1.1 403")) << denied.err;
  const e2e::Outcome https = world.run({"curl", "-sSk", std::string("https://") + kHost + "/"});
  EXPECT_THAT(https.err, HasSubstr("curl: (35)"));
}

}  // namespace
}  // namespace agentvm::egress
