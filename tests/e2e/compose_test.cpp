// docker-compose with a dockerd of the test's own: services that wait for each other, find each
// other by name and keep their files in a volume.
#include "tests/e2e/harness/dockerd.h"

namespace agentvm::e2e {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kServices = R"(
version: "2.4"
services:
  store:
    image: busybox
    runtime: agentvm
    command: sh -c "sleep 1; echo stored > /data/page; exec httpd -f -p 80 -h /data"
    volumes: ["pages:/data"]
    stop_grace_period: 1s
    healthcheck:
      test: wget -q -O /dev/null http://127.0.0.1/page
      interval: 1s
      timeout: 20s
      retries: 30
  web:
    image: busybox
    runtime: agentvm
    command: sh -c "wget -q -O - http://store/page && exec sleep 1000"
    stop_grace_period: 1s
    depends_on:
      store:
        condition: service_healthy
volumes:
  pages: {}
)";

class Compose : public Docker {
 protected:
  Outcome compose(const std::vector<std::string>& arguments) const {
    std::vector<std::string> argv{"docker-compose", "--project-name", "shop", "--file",
                                  scratch() + "/compose.yaml"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    CommandOptions options;
    options.environment = {"DOCKER_HOST=unix://" + scratch() + "/docker.sock"};
    return run_command(argv, options);
  }
};

TEST_F(Compose, ServicesWaitForEachOtherAndGoTogether) {
  write_file(scratch() + "/compose.yaml", kServices);
  const Outcome up = compose({"up", "--detach"});
  ASSERT_EQ(up.status, 0) << up.err;
  EXPECT_THAT(compose({"ps"}).out, HasSubstr("(healthy)"));
  // The first request found the page: web was started after store was healthy.
  EXPECT_TRUE(eventually([&] {
    return compose({"logs", "--no-color", "web"}).out.find("| stored\n") != std::string::npos;
  })) << compose({"logs", "--no-color"}).out;
  EXPECT_EQ(compose({"exec", "-T", "web", "wget", "-q", "-O", "-", "http://store/page"}).out,
            "stored\n");
  EXPECT_EQ(compose({"exec", "-T", "store", "cat", "/data/page"}).out, "stored\n");
  const Outcome down = compose({"down", "--volumes"});
  EXPECT_EQ(down.status, 0) << down.err;
  EXPECT_THAT(docker_out({"ps", "--all", "--quiet"}), IsEmpty());
  EXPECT_THAT(docker_out({"volume", "ls", "--quiet"}), IsEmpty());
}

}  // namespace
}  // namespace agentvm::e2e
