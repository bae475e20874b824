#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/spec_parser.h"

namespace agentvm::oci {
namespace {

std::string error_of(std::string_view text) {
  const auto resources = parse_resources(text);
  return resources ? "no error" : resources.error().text();
}

TEST(ParseResources, ReadsWhatDockerUpdateSends) {
  const auto resources = parse_resources(
      R"({"memory":{"limit":536870912,"swap":1073741824},"cpu":{"shares":512,"quota":50000,)"
      R"("period":100000,"cpus":"0-1"},"pids":{"limit":200},"blockIO":{"weight":300},)"
      R"("devices":null})");
  ASSERT_TRUE(resources) << resources.error().text();
  EXPECT_EQ(resources->memory->limit, 536870912);
  EXPECT_EQ(resources->memory->reservation, std::nullopt);
  EXPECT_EQ(resources->cpu->quota_us, 50000);
  EXPECT_EQ(resources->pids_limit, 200);
  EXPECT_EQ(resources->block_io->weight, 300);
  EXPECT_TRUE(resources->devices.empty());
}

TEST(ParseResources, ReadsAnEmptyObject) {
  EXPECT_EQ(parse_resources("{}"), Resources{});
}

TEST(ParseResources, ChecksDeviceRules) {
  EXPECT_EQ(error_of(R"({"devices": [{"access": "rwm"}]})"), "/devices/0/allow: required");
  EXPECT_EQ(error_of(R"({"devices": [{"allow": true, "type": "p"}]})"),
            "/devices/0/type: expected one of a, c, b, found \"p\"");
  EXPECT_EQ(error_of(R"({"devices": [{"allow": true, "access": "rx"}]})"),
            "/devices/0/access: must be made of r, w and m, found \"rx\"");
  EXPECT_EQ(error_of(R"({"devices": [{"allow": true, "major": -2}]})"),
            "/devices/0/major: must be between -1 and 4095, found -2");
}

TEST(ParseResources, ChecksMemory) {
  EXPECT_EQ(error_of(R"({"memory": {"limit": -2}})"),
            "/memory/limit: must be at least -1, found -2");
  EXPECT_EQ(error_of(R"({"memory": {"limit": 1.5e9}})"),
            "/memory/limit: expected a signed 64-bit integer, found 1.5e9");
  EXPECT_EQ(error_of(R"({"memory": {"swappiness": 101}})"),
            "/memory/swappiness: must be between 0 and 100, found 101");
}

TEST(ParseResources, ChecksCpu) {
  EXPECT_EQ(error_of(R"({"cpu": {"cpus": "0-3\n"}})"),
            "/cpu/cpus: must be a list like 0-3,7, found \"0-3?\"");
  EXPECT_EQ(error_of(R"({"cpu": {"quota": 5, "burst": 6}})"),
            "/cpu/burst: must not be above quota");
  EXPECT_EQ(error_of(R"({"cpu": {"quota": -1, "burst": 6}})"), "no error");
  EXPECT_EQ(error_of(R"({"cpu": {"idle": 2}})"), "/cpu/idle: must be between 0 and 1, found 2");
}

TEST(ParseResources, ChecksBlockIo) {
  EXPECT_EQ(error_of(R"({"blockIO": {"weight": 9}})"),
            "/blockIO/weight: must be between 10 and 1000, found 9");
  EXPECT_EQ(error_of(R"({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}})"),
            "/blockIO/weightDevice/0: needs weight or leafWeight");
  EXPECT_EQ(error_of(R"({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0}]}})"),
            "/blockIO/throttleReadBpsDevice/0/rate: required");
}

TEST(ParseResources, ChecksTheOthers) {
  EXPECT_EQ(error_of(R"({"pids": {}})"), "/pids/limit: required");
  EXPECT_EQ(error_of(R"({"hugepageLimits": [{"pageSize": "2M", "limit": 1}]})"),
            "/hugepageLimits/0/pageSize: must be a size like 64KB, 2MB or 1GB, found \"2M\"");
  EXPECT_EQ(error_of(R"({"rdma": {"mlx": {}}})"), "/rdma/mlx: needs hcaHandles or hcaObjects");
  EXPECT_EQ(error_of(R"({"network": {"priorities": [{"name": "", "priority": 1}]}})"),
            "/network/priorities/0/name: must not be empty, found \"\"");
}

TEST(ParseResources, LetsNoUnifiedNameLeaveTheCgroup) {
  for (const char* name : {"../x.y", "a/b.c", "..", "", "tasks"}) {
    EXPECT_EQ(error_of("{\"unified\": {\"" + std::string(name) + "\": \"1\"}}"),
              "/unified: each name must be a file name like memory.high")
        << name;
  }
  EXPECT_EQ(error_of(R"({"unified": {"hugetlb.1GB.max": "0"}})"), "no error");
}

}  // namespace
}  // namespace agentvm::oci
