#include "vmm/qmp_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace agentvm::vmm {
namespace {

using ::testing::HasSubstr;

TEST(ParseQmpMessage, ReadsTheGreeting) {
  const auto message =
      parse_qmp_message(R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7},)"
                        R"( "package": "Debian"}, "capabilities": ["oob"]}})");
  ASSERT_TRUE(message) << message.error().text();
  EXPECT_EQ(std::get<QmpGreeting>(*message), (QmpGreeting{7, 2, 22}));
}

TEST(ParseQmpMessage, ReadsEventsWithWhatTheyAreAbout) {
  const auto deleted = parse_qmp_message(
      R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "DEVICE_DELETED",)"
      R"( "data": {"device": "nic0", "path": "/machine/peripheral/nic0"}})");
  ASSERT_TRUE(deleted) << deleted.error().text();
  EXPECT_EQ(std::get<QmpEvent>(*deleted),
            (QmpEvent{QmpEventKind::device_deleted, "DEVICE_DELETED", "nic0", ""}));
  const auto down = parse_qmp_message(
      R"({"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}})");
  ASSERT_TRUE(down) << down.error().text();
  EXPECT_EQ(std::get<QmpEvent>(*down),
            (QmpEvent{QmpEventKind::shutdown, "SHUTDOWN", "", "guest-reset"}));
  const auto error = parse_qmp_message(
      R"({"event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": false, "operation": "write",
          "action": "report", "reason": "No space left on device"}})");
  ASSERT_TRUE(error) << error.error().text();
  EXPECT_EQ(std::get<QmpEvent>(*error), (QmpEvent{QmpEventKind::block_io_error, "BLOCK_IO_ERROR",
                                                  "", "No space left on device"}));
  const auto other = parse_qmp_message(R"({"event": "RTC_CHANGE", "data": {"offset": 3}})");
  ASSERT_TRUE(other) << other.error().text();
  EXPECT_EQ(std::get<QmpEvent>(*other).kind, QmpEventKind::other);
}

TEST(ParseQmpMessage, ReadsRepliesAndErrors) {
  const auto fine = parse_qmp_message(R"({"return": {}, "id": 7})");
  ASSERT_TRUE(fine) << fine.error().text();
  EXPECT_EQ(std::get<QmpReply>(*fine), (QmpReply{7, {}, {}}));
  const auto status = parse_qmp_message(
      R"({"return": {"status": "prelaunch", "singlestep": false, "running": false}, "id": 8})");
  ASSERT_TRUE(status) << status.error().text();
  EXPECT_EQ(std::get<QmpReply>(*status), (QmpReply{8, {}, QmpRunState::prelaunch}));
  const auto refused =
      parse_qmp_message(R"({"id": 9, "error": {"class": "GenericError", "desc": "no such bus"}})");
  ASSERT_TRUE(refused) << refused.error().text();
  EXPECT_EQ(std::get<QmpReply>(*refused), (QmpReply{9, "no such bus", {}}));
}

TEST(ParseQmpMessage, ReadsPlacesForVcpus) {
  const auto message = parse_qmp_message(
      R"({"return": [{"props": {"core-id": 1, "thread-id": 0, "node-id": 0, "socket-id": 0},)"
      R"( "vcpus-count": 1, "type": "max-x86_64-cpu"}, {"props": {"core-id": 0}, "vcpus-count": 1,)"
      R"( "qom-path": "/machine/unattached/device[0]", "type": "max-x86_64-cpu"}], "id": 3})");
  ASSERT_TRUE(message) << message.error().text();
  const auto& places = std::get<QmpReply>(*message).cpu_places;
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[0],
            (QmpCpuPlace{"max-x86_64-cpu",
                         1,
                         false,
                         {{"core-id", 1}, {"thread-id", 0}, {"node-id", 0}, {"socket-id", 0}}}));
  EXPECT_TRUE(places[1].taken);
  // What other commands answer with is no concern of ours.
  for (const char* line : {R"({"return": [], "id": 3})", R"({"return": ["x", 1], "id": 3})",
                           R"({"return": [{"name": "x"}], "id": 3})"}) {
    const auto other = parse_qmp_message(line);
    ASSERT_TRUE(other) << other.error().text();
    EXPECT_TRUE(std::get<QmpReply>(*other).cpu_places.empty()) << line;
  }
}

TEST(ParseQmpMessage, RefusesEverythingElse) {
  for (const char* line :
       {"", "x", "[]", "1", "{}", R"({"id": 1})", R"({"return": {}, "id": -1})",
        R"({"return": {}, "id": "7"})", R"({"QMP": {}})", R"({"QMP": 1})", R"({"event": 5})",
        R"({"event": "STOP", "data": {"device": 1}})", R"({"error": {}})",
        R"({"return": {"status": 4}, "id": 1})",
        R"({"return": [{"vcpus-count": 1, "type": "x"}], "id": 1})",
        R"({"return": [{"vcpus-count": -1, "type": "x", "props": {}}], "id": 1})",
        R"({"return": [{"vcpus-count": 1, "type": 1, "props": {}}], "id": 1})",
        R"({"return": [{"vcpus-count": 1, "type": "x", "props": 1}], "id": 1})",
        R"({"return": [{"vcpus-count": 1, "type": "x", "props": {"a": "b"}}],)"
        R"( "id": 1})"}) {
    const auto message = parse_qmp_message(line);
    EXPECT_FALSE(message) << line;
    if (!message) {
      EXPECT_EQ(message.error().kind, ErrorKind::invalid_argument) << line;
    }
  }
}

TEST(ParseQmpMessage, HasLimits) {
  const auto deep =
      parse_qmp_message(R"({"return": )" + std::string(40, '[') + std::string(40, ']') + "}");
  EXPECT_FALSE(deep);
  EXPECT_FALSE(parse_qmp_message(R"({"return": ")" + std::string(kQmpLineLimit, 'x') + "\"}"));
}

}  // namespace
}  // namespace agentvm::vmm
