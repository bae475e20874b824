#include "rpc/frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm::rpc {
namespace {

using std::string_literals::operator""s;

Frame request(std::uint32_t id, std::string data) {
  return {id, FrameType::request, 0, std::move(data)};
}

TEST(EncodeFrame, WritesTheHeaderAsTtrpcSaysIt) {
  EXPECT_EQ(encode_frame({0x01020305, FrameType::response, 7, "abc"}),
            "\x00\x00\x00\x03\x01\x02\x03\x05\x02\x07"
            "abc"s);
}

TEST(EncodeFrame, RefusesDataPastFourMebibytes) {
  EXPECT_TRUE(encode_frame(request(1, std::string(4194304, 'x'))));
  const auto frame = encode_frame(request(1, std::string(4194305, 'x')));
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().text(), "a message of 4194305 bytes is past the limit of 4194304");
}

TEST(FrameParser, GivesFramesBackHoweverTheBytesAreCut) {
  const auto bytes = *encode_frame(request(1, "one")) + *encode_frame(request(3, "")) +
                     *encode_frame({5, FrameType::response, 9, std::string(100, 'z')});
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    FrameParser parser;
    std::vector<Frame> frames;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      parser.feed(std::string_view(bytes).substr(at, piece));
      for (;;) {
        auto frame = parser.next();
        ASSERT_TRUE(frame);
        if (!*frame) break;
        frames.push_back(**frame);
      }
    }
    EXPECT_THAT(frames,
                testing::ElementsAre(request(1, "one"), request(3, ""),
                                     Frame{5, FrameType::response, 9, std::string(100, 'z')}))
        << "pieces of " << piece;
    EXPECT_TRUE(parser.at_boundary());
  }
}

TEST(FrameParser, KnowsThatAMessageIsNotWhole) {
  FrameParser parser;
  EXPECT_TRUE(parser.at_boundary());
  parser.feed("\x00\x00"s);
  EXPECT_EQ(parser.next(), std::nullopt);
  EXPECT_FALSE(parser.at_boundary());
}

TEST(FrameParser, RefusesALengthBeforeTheDataComes) {
  FrameParser parser;
  parser.feed("\x00\x40\x00\x01\x00\x00\x00\x01\x01\x00"s);
  const auto frame = parser.next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().kind, ErrorKind::invalid_argument);
  EXPECT_EQ(frame.error().text(), "a frame of 4194305 bytes is past the limit of 4194304");
}

TEST(FrameParser, RefusesStreamsOfAServer) {
  FrameParser parser;
  parser.feed("\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00"s);
  const auto frame = parser.next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().text(), "a frame of stream 2: ids are odd");
}

TEST(FrameParser, RefusesStreamData) {
  FrameParser parser;
  parser.feed("\x00\x00\x00\x00\x00\x00\x00\x01\x03\x00"s);
  const auto frame = parser.next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().text(), "a frame of unknown type 3");
}

}  // namespace
}  // namespace agentvm::rpc
