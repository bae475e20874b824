// The commands by which a machine grows, against a QEMU played by the test.
#include "vmm/machine_growth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <thread>

#include "oci/base/sys.h"

namespace agentvm::vmm {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr milliseconds kPatience{20'000};
const MachineBounds kBounds{MachineSize{1, 512}, MachineSize{4, 4097}};
constexpr const char* kFine = "\"return\": {}";
constexpr const char* kRefused = "\"error\": {\"class\": \"GenericError\", \"desc\": \"no room\"}";

// QEMU's side until ours closes: answers each command with the next of `answers`, without its id,
// and returns what was asked.
std::vector<std::string> play_qemu(int fd, std::vector<std::string> answers) {
  answers.insert(answers.begin(), "\"return\": {}");  // the negotiation
  std::vector<std::string> asked;
  (void)sys::write_all(fd,
                       "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, "
                       "\"micro\": 0}}}}\n");
  std::string buffer;
  std::array<char, 4096> chunk{};
  for (ssize_t n = 0; (n = ::read(fd, chunk.data(), chunk.size())) > 0;) {
    buffer.append(chunk.data(), static_cast<std::size_t>(n));
    for (std::size_t end = 0; (end = buffer.find('\n')) != std::string::npos;) {
      const std::string line = buffer.substr(0, end);
      buffer.erase(0, end + 1);
      const std::string answer = asked.size() < answers.size() ? answers[asked.size()] : kFine;
      (void)sys::write_all(fd, "{" + answer + ", " + line.substr(line.rfind("\"id\":")) + "\n");
      asked.push_back(line);
    }
  }
  asked.erase(asked.begin());
  return asked;
}

struct Talk {
  Result<void> outcome;
  std::vector<std::string> commands;
};

Talk talk(const std::vector<std::string>& answers, std::function<Task<void>(Qmp&)> body) {
  auto [ours, theirs] = *sys::socket_pair(SOCK_STREAM);
  Talk talk;
  std::thread qemu([&] { talk.commands = play_qemu(theirs.get(), answers); });
  {
    asio::io_context io(1);
    talk.outcome =
        run_to_end(io, [](UniqueFd socket, std::function<Task<void>(Qmp&)> inner) -> Task<void> {
          auto qmp = co_await Qmp::connect(std::move(socket), kPatience);
          if (!qmp) co_return std::unexpected(std::move(qmp).error());
          co_return co_await inner(**qmp);
        }(std::move(ours), std::move(body)));
  }
  qemu.join();
  return talk;
}

Talk talk_of_memory(const std::vector<std::string>& answers, std::uint64_t total_mib,
                    PluggedMemory& plugged) {
  return talk(answers, [&, total_mib](Qmp& qmp) {
    return grow_memory(kBounds, total_mib, qmp, plugged, kPatience);
  });
}

TEST(GrowMemory, PlugsOneDeviceAndThenGivesMoreOfIt) {
  PluggedMemory plugged;
  Talk first = talk_of_memory({kFine, kFine}, 1023, plugged);
  EXPECT_TRUE(first.outcome) << first.outcome.error().text();
  EXPECT_THAT(first.commands,
              ElementsAre(AllOf(HasSubstr("\"object-add\""), HasSubstr("\"memory-backend-memfd\""),
                                HasSubstr("\"share\":true"), HasSubstr("\"size\":3758096384")),
                          AllOf(HasSubstr("\"device_add\""), HasSubstr("\"virtio-mem-pci\""),
                                HasSubstr("\"bus\":\"slot7\""), HasSubstr("\"block-size\":2097152"),
                                HasSubstr("\"requested-size\":536870912"))));
  EXPECT_EQ(plugged.mib, 512U);
  Talk same = talk_of_memory({}, 1024, plugged);
  EXPECT_TRUE(same.outcome);
  EXPECT_THAT(same.commands, IsEmpty());
  Talk more = talk_of_memory({kFine}, 4097, plugged);
  EXPECT_TRUE(more.outcome) << more.outcome.error().text();
  EXPECT_THAT(more.commands,
              ElementsAre(AllOf(HasSubstr("\"qom-set\""),
                                HasSubstr("\"/machine/peripheral/plugged-memory\""),
                                HasSubstr("\"requested-size\""), HasSubstr("3758096384"))));
}

TEST(GrowMemory, GoesOnWhereItFailed) {
  PluggedMemory plugged;
  Talk failed = talk_of_memory({kFine, kRefused}, 600, plugged);
  ASSERT_FALSE(failed.outcome);
  EXPECT_EQ(failed.outcome.error().text(), "plug memory: device_add: QEMU says: no room");
  EXPECT_EQ(plugged.mib, 0U);
  Talk again = talk_of_memory({kFine}, 600, plugged);
  EXPECT_TRUE(again.outcome) << again.outcome.error().text();
  EXPECT_THAT(again.commands, ElementsAre(HasSubstr("\"device_add\"")));
  EXPECT_EQ(plugged.mib, 88U);
  Talk refused = talk_of_memory({kRefused}, 700, plugged);
  EXPECT_FALSE(refused.outcome);
  EXPECT_EQ(plugged.mib, 88U);
}

constexpr const char* kPlaces =
    R"("return": [{"props": {"core-id": 2, "socket-id": 0}, "vcpus-count": 1, "type": "max"},)"
    R"( {"props": {"core-id": 1, "socket-id": 0}, "vcpus-count": 1, "type": "max"},)"
    R"( {"props": {"core-id": 0, "socket-id": 0}, "vcpus-count": 1, "type": "max",)"
    R"( "qom-path": "/machine/unattached/device[0]"}])";

TEST(GrowVcpus, PlugsTheFirstFreePlaces) {
  Talk one = talk({kPlaces, kFine}, [](Qmp& qmp) { return grow_vcpus(2, qmp, kPatience); });
  EXPECT_TRUE(one.outcome) << one.outcome.error().text();
  EXPECT_THAT(one.commands,
              ElementsAre(HasSubstr("\"query-hotpluggable-cpus\""),
                          AllOf(HasSubstr("\"device_add\""), HasSubstr("\"driver\":\"max\""),
                                HasSubstr("\"core-id\":1"), HasSubstr("\"socket-id\":0"))));
  Talk none = talk({kPlaces}, [](Qmp& qmp) { return grow_vcpus(1, qmp, kPatience); });
  EXPECT_TRUE(none.outcome);
  EXPECT_EQ(none.commands.size(), 1U);
}

TEST(GrowVcpus, SaysThatThereIsNoPlace) {
  Talk talked =
      talk({kPlaces, kFine, kFine}, [](Qmp& qmp) { return grow_vcpus(4, qmp, kPatience); });
  ASSERT_FALSE(talked.outcome);
  EXPECT_EQ(talked.outcome.error().text(), "there is place for 3 vCPUs, not for 4");
  EXPECT_EQ(talked.commands.size(), 3U) << "what there is place for is plugged";
}

TEST(CheckGrowth, KeepsToTheBounds) {
  EXPECT_TRUE(check_growth(kBounds, {4, 4097}));
  EXPECT_TRUE(check_growth({MachineSize{2, 512}, MachineSize{}}, {2, 512}));
  const auto vcpus = check_growth(kBounds, {5, 512});
  ASSERT_FALSE(vcpus);
  EXPECT_EQ(vcpus.error().text(),
            "this machine grows to 4 vCPUs and 4096 MiB at most, not to 5 and 512 MiB");
  EXPECT_FALSE(check_growth(kBounds, {1, 4098}));
  EXPECT_FALSE(check_growth({MachineSize{2, 512}, MachineSize{}}, {2, 600}));
}

}  // namespace
}  // namespace agentvm::vmm
