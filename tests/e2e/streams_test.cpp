#include <unistd.h>

#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

class Streams : public Agentvm {};

// For a shell.
std::string quoted(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += "'" + word + "' ";
  return line;
}

TEST_F(Streams, AHundredMegabytesArriveWholeAndInOrder) {
  const Bundle bundle(Bundle::shell(
      "i=0; while [ $i -lt 100 ]; do dd if=/payload bs=1M 2>/dev/null; i=$((i+1)); done"));
  // A megabyte in which every line is different: a lost, doubled or swapped piece shows.
  std::string payload;
  for (int line = 0; payload.size() < (1U << 20); ++line)
    payload += std::to_string(line * 7919) + "\n";
  payload.resize(1U << 20);
  bundle.add_file("payload", payload);
  const Outcome outcome = run(bundle);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  ASSERT_EQ(outcome.out.size(), std::size_t{100} << 20);
  for (std::size_t at = 0; at < outcome.out.size(); at += payload.size()) {
    ASSERT_EQ(outcome.out.compare(at, payload.size(), payload), 0) << "in megabyte " << (at >> 20);
  }
}

TEST_F(Streams, StandardInputTravelsToItsEnd) {
  CommandOptions options;
  for (int line = 0; line < 20000; ++line) options.input += "line " + std::to_string(line) + "\n";
  const Outcome outcome = run(Bundle({"/bin/cat"}), options);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, options.input);
}

TEST_F(Streams, StandardInputIsEmptyWhenTheCallerHasNone) {
  EXPECT_EQ(run(Bundle({"/bin/cat"})).status, 0);
}

TEST_F(Streams, OutputAndErrorStayApart) {
  const Outcome outcome = run(Bundle(Bundle::shell(
      "i=0; while [ $i -lt 1000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done")));
  std::string out;
  std::string err;
  for (int line = 0; line < 1000; ++line) {
    out += "out " + std::to_string(line) + "\n";
    err += "err " + std::to_string(line) + "\n";
  }
  EXPECT_EQ(outcome.out, out);
  EXPECT_EQ(outcome.err, err);
}

TEST_F(Streams, OutputOfAnInputThatStaysOpenDoesNotWait) {
  const Bundle bundle(Bundle::shell("echo done"));
  bundle.store();
  CommandOptions options;
  options.null_input = false;  // a pipe that nobody writes to
  Background program(command({"run", "--bundle", bundle.path(), "web"}), options);
  EXPECT_TRUE(program.wait_for_output("done"));
  EXPECT_EQ(program.wait().status, 0);
}

// `create` must not keep its caller's pipes open: engines wait for their end.
TEST_F(Streams, NothingHoldsTheCallersPipesAfterTheContainersEnd) {
  const Bundle bundle(Bundle::shell("echo hello"));
  bundle.store();
  CommandOptions options;
  options.timeout = std::chrono::seconds(60);
  const std::string agentvm = quoted(command({}));
  // cat reads the pipe to its end: a process that kept it would time this out.
  const Outcome outcome =
      run_command(Bundle::shell("{ " + agentvm + "create --bundle " + bundle.path() + " web && " +
                                agentvm + "start web; } | cat"),
                  options);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.out, "hello\n");
  wait_for_status("web", "stopped");
}

TEST_F(Streams, AReaderThatLeavesEndsTheWriter) {
  const Bundle bundle(Bundle::shell("yes"));
  bundle.store();
  const std::string line = quoted(command({"run", "--bundle", bundle.path(), "web"}));
  CommandOptions options;
  options.timeout = std::chrono::seconds(60);
  const Outcome outcome = run_command(Bundle::shell(line + " | head -n 3"), options);
  EXPECT_FALSE(outcome.timed_out);
  EXPECT_EQ(outcome.out, "y\ny\ny\n");
}

}  // namespace
}  // namespace agentvm::e2e
