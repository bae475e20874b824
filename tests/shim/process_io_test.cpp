#include "shim/process_io.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"

namespace agentvm::shim {
namespace {

class ProcessIoTest : public testing::Test {
 protected:
  void SetUp() override {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    reaper_ = std::move(*Reaper::create(io_.get_executor()));
  }

  std::string fifo(const std::string& name) const {
    EXPECT_EQ(::mkfifo((scratch_ / name).c_str(), 0600), 0);
    return scratch_ / name;
  }

  Result<std::unique_ptr<ProcessIo>> open(const IoRequest& request) {
    Result<std::unique_ptr<ProcessIo>> out = fail(ErrorKind::internal, "still running");
    const IoOwner owner{"moby", "web", scratch_.path()};
    asio::co_spawn(
        io_,
        [](Task<std::unique_ptr<ProcessIo>> opening, Result<std::unique_ptr<ProcessIo>>& into,
           asio::io_context& io) -> asio::awaitable<void> {
          into = co_await std::move(opening);
          io.stop();
        }(ProcessIo::open(*reaper_, owner, request), out, io_),
        asio::detached);
    io_.restart();
    io_.run_for(std::chrono::seconds(20));
    return out;
  }

  void end(ProcessIo& process) {
    asio::co_spawn(
        io_,
        [](ProcessIo& of, asio::io_context& io) -> asio::awaitable<void> {
          co_await of.end();
          io.stop();
        }(process, io_),
        asio::detached);
    io_.restart();
    io_.run_for(std::chrono::seconds(20));
  }

  static std::string read_some(int fd) {
    std::string bytes(64, '\0');
    const ssize_t n = ::read(fd, bytes.data(), bytes.size());
    bytes.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return n < 0 ? "errno " + std::to_string(errno) : bytes;
  }

  TempDir scratch_;
  std::unique_ptr<Reaper> reaper_;
  asio::io_context io_{1};
};

TEST_F(ProcessIoTest, InputEndsByCloseAloneAndNotWithAClient) {
  const std::string path = fifo("in");
  const auto opened = open({path, "", "", false});
  ASSERT_TRUE(opened) << opened.error().text();
  const int in = (*opened)->verb_stdio().in;
  {
    const auto client = sys::open_at(AT_FDCWD, path, O_WRONLY | O_NONBLOCK);
    ASSERT_TRUE(client && sys::write_all(client->get(), "typed"));
  }
  EXPECT_EQ(read_some(in), "typed");
  EXPECT_EQ(read_some(in), "errno " + std::to_string(EAGAIN));
  (*opened)->close_stdin();
  EXPECT_EQ(read_some(in), "");
}

TEST_F(ProcessIoTest, OutputWaitsForTheNextClientInsteadOfBreaking) {
  const std::string path = fifo("out");
  const auto opened = open({"", path, "", false});
  ASSERT_TRUE(opened) << opened.error().text();
  const VerbStdio stdio = (*opened)->verb_stdio();
  EXPECT_EQ(stdio.in, -1);
  EXPECT_EQ(stdio.err, -1);
  const UniqueFd writer(::fcntl(stdio.out, F_DUPFD_CLOEXEC, 3));
  ASSERT_TRUE((*opened)->started());
  ASSERT_TRUE(sys::write_all(writer.get(), "said to nobody"));
  const auto client = sys::open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(read_some(client->get()), "said to nobody");
}

TEST_F(ProcessIoTest, ALogFileIsAppendedToByBothStreams) {
  const std::string log = scratch_ / "new/dir/web.log";
  const auto opened = open({"", "file://" + log, "file://" + log, false});
  ASSERT_TRUE(opened) << opened.error().text();
  ASSERT_TRUE(sys::write_all((*opened)->verb_stdio().out, "out\n"));
  ASSERT_TRUE(sys::write_all((*opened)->verb_stdio().err, "err\n"));
  EXPECT_EQ(*sys::read_file(log, 100), "out\nerr\n");
}

TEST_F(ProcessIoTest, ALoggingProgramReadsBothStreamsToTheirEnd) {
  const std::string logger = scratch_.write("logger",
                                            "#!/bin/sh\n"
                                            "exec 5>&-\n"
                                            "{ echo \"$CONTAINER_NAMESPACE $CONTAINER_ID $*\"; "
                                            "cat <&3; cat <&4; } > " +
                                                (scratch_ / "log") + "\n",
                                            0755);
  const std::string uri = "binary://" + logger + "?tag=a%20b";
  const auto opened = open({"", uri, uri, false});
  ASSERT_TRUE(opened) << opened.error().text();
  ASSERT_TRUE(sys::write_all((*opened)->verb_stdio().err, "err\n"));
  ASSERT_TRUE(sys::write_all((*opened)->verb_stdio().out, "out\n"));
  end(**opened);
  EXPECT_EQ(*sys::read_file(scratch_ / "log", 100), "moby web tag a b\nout\nerr\n");
}

TEST_F(ProcessIoTest, WhatCannotBeOpenedIsNamed) {
  scratch_.write("plain", "");
  EXPECT_EQ(open({"", scratch_ / "plain", "", false}).error().kind, ErrorKind::invalid_argument);
  const auto missing = open({scratch_ / "missing", "", "", false});
  EXPECT_EQ(missing.error().kind, ErrorKind::not_found);
  EXPECT_EQ(missing.error().text(), "stream '" + (scratch_ / "missing") + "': it does not exist");
  EXPECT_EQ(open({"file:///x", "", "", false}).error().text(), "standard input must be a FIFO");
  EXPECT_THAT(open({"", "binary:///no/such/logger", "", false}).error().text(),
              testing::HasSubstr("logging program '/no/such/logger' ended at once"));
}

}  // namespace
}  // namespace agentvm::shim
