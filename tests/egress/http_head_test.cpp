#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "egress/http/chunks.h"
#include "egress/http/head.h"

namespace agentvm::egress::http {
namespace {

// "" when the request is one that is sent on, else why not.
std::string verdict(std::string_view bytes) {
  std::size_t seen = 0;
  const auto end = find_head_end(bytes, seen);
  if (!end) return end.error().text();
  if (!*end) return "more is needed";
  const auto head = parse_request_head(bytes.substr(0, **end));
  if (!head) return head.error().text();
  const auto framing = framing_of(*head);
  return framing ? "" : framing.error().text();
}

TEST(HttpHead, RefusesWhatServersReadDifferently) {
  std::string flood = "GET / HTTP/1.1\r\n";
  for (std::size_t i = 0; i <= kMaxFields; ++i) flood += "a: b\r\n";
  const struct {
    std::string bytes;
    const char* why;
  } kTable[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
      {"GET / HTTP/1.0\r\n\r\n", ""},
      {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", ""},
      {"POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n", ""},
      {"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
       "both Content-Length and Transfer-Encoding"},
      {"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
       "more than one Content-Length"},
      {"POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n", "Content-Length is no number"},
      {"POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n", "Content-Length is no number"},
      {"POST / HTTP/1.1\r\nContent-Length: 0x4\r\n\r\n", "Content-Length is no number"},
      {"POST / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
       "Content-Length is no number"},
      {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "Content-Length is no number"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
       "a Transfer-Encoding other than chunked"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
       "a Transfer-Encoding other than chunked"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
       "a Transfer-Encoding other than chunked"},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
       "the name of a header is no token"},
      {"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\n\r\n",
       "a header line begins with a space (obsolete folding)"},
      {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
       "a header line begins with a space (obsolete folding)"},
      {"GET / HTTP/1.1\r\nA: b\n\r\n", "a line feed without a return"},
      {"GET / HTTP/1.1\nA: b\n\n", "a line feed without a return"},
      {"GET / HTTP/1.1\r\nA: b\rContent-Length: 4\r\n\r\n", "a return without a line feed"},
      {std::string("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24), "a NUL in the head"},
      {"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", "header 'A' holds a control character"},
      {"GET / HTTP/1.1\r\nA\r\n\r\n", "a header line has no colon"},
      {"GET / HTTP/1.1\r\n: b\r\n\r\n", "the name of a header is no token"},
      {"GET / HTTP/1.1\r\nA b: c\r\n\r\n", "the name of a header is no token"},
      {"\r\nGET / HTTP/1.1\r\n\r\n", "the request line is not 'METHOD target HTTP/1.1'"},
      {"GET /\r\n\r\n", "the request line is not 'METHOD target HTTP/1.1'"},
      {"GET / a HTTP/1.1\r\n\r\n", "the request's target is malformed"},
      {"GET  / HTTP/1.1\r\n\r\n", "the request's target is malformed"},
      {"GET /#a HTTP/1.1\r\n\r\n", "the request's target is malformed"},
      {"GET /\x80 HTTP/1.1\r\n\r\n", "the request's target is malformed"},
      {"GET / HTTP/2.0\r\n\r\n", "the version is neither HTTP/1.1 nor HTTP/1.0"},
      {"GET / HTTP/1.10\r\n\r\n", "the version is neither HTTP/1.1 nor HTTP/1.0"},
      {"G(T / HTTP/1.1\r\n\r\n", "the method is no token"},
      {std::string(33, 'G') + " / HTTP/1.1\r\n\r\n", "the method is no token"},
      {flood + "\r\n", "more than 256 headers"},
      {"GET /" + std::string(kMaxTarget, 'a') + " HTTP/1.1\r\n\r\n",
       "the request's target is malformed"},
      {"GET / HTTP/1.1\r\nA: " + std::string(kMaxHead, 'b'), "the head has more than 65536 bytes"},
      {"GET / HTTP/1.1\r\nA: b\r\n", "more is needed"},
  };
  for (const auto& [bytes, why] : kTable) {
    EXPECT_EQ(verdict(bytes), why) << bytes.substr(0, 80);
  }
}

TEST(HttpHead, IsFoundWhereverItIsCut) {
  constexpr std::string_view kBytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
  std::size_t seen = 0;
  for (std::size_t size = 0; size < kBytes.size() - 4; ++size) {
    EXPECT_FALSE(find_head_end(kBytes.substr(0, size), seen).value());
  }
  EXPECT_EQ(find_head_end(kBytes, seen).value(), kBytes.size() - 4);
}

TEST(HttpHead, OfAnAnswerSaysWhereItsBodyEnds) {
  const auto framing = [](const std::string& bytes, std::string_view method = "GET") {
    const auto head = parse_response_head(bytes + "\r\n");
    if (!head) return head.error().text();
    const auto found = framing_of(*head, method);
    if (!found) return found.error().text();
    constexpr const char* kNames[] = {"none", "sized", "chunked", "until close"};
    std::string text = kNames[static_cast<std::size_t>(found->kind)];
    if (found->kind == BodyKind::sized) text += " " + std::to_string(found->size);
    return text;
  };
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"), "sized 5");
  EXPECT_EQ(framing("HTTP/1.1 200\r\n"), "until close");
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"), "chunked");
  // A cache in between could be poisoned by it; there is none: the coding wins (RFC 9112, 6.1).
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            "chunked");
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n"), "sized 5");
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n"),
            "two lengths that differ");
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n"),
            "a Transfer-Encoding other than chunked");
  EXPECT_EQ(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "HEAD"), "none");
  EXPECT_EQ(framing("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n"), "none");
  EXPECT_EQ(framing("HTTP/1.1 304 Not Modified\r\n"), "none");
  EXPECT_EQ(framing("HTTP/1.1 20 OK\r\n"), "the status line is malformed");
  EXPECT_EQ(framing("HTTP/1.1 2000 OK\r\n"), "the status line is malformed");
  EXPECT_EQ(framing("HTTP/1.1 099 OK\r\n"), "the status line is malformed");
  EXPECT_EQ(framing("SSH-2.0-OpenSSH\r\n"), "the version is neither HTTP/1.1 nor HTTP/1.0");
}

// The payload and "; " with the trailers, or why it is malformed; fed in pieces of `size`.
std::string decode(std::string_view bytes, std::size_t size) {
  ChunkDecoder decoder;
  std::string payload;
  std::string window;
  std::size_t given = 0;
  while (!decoder.ended()) {
    const auto step = decoder.feed(window);
    if (!step) return step.error().text();
    payload += step->payload;
    window.erase(0, step->used);
    if (step->used > 0 || decoder.ended()) continue;
    if (given == bytes.size()) return "more is needed";
    const std::string_view piece = bytes.substr(given, size);
    given += piece.size();
    window += piece;
  }
  for (const Field& field : decoder.trailers().list()) {
    payload += "; " + field.name + "=" + field.value;
  }
  return payload;
}

TEST(ChunkDecoder, ReadsChunksHoweverTheyAreCutAndRefusesOthers) {
  const struct {
    std::string bytes, meant;
  } kTable[] = {
      {"3\r\nabc\r\n0\r\n\r\n", "abc"},
      {"1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", "a0123456789"},
      {"3;x=\"y\"\r\nabc\r\n0\r\n\r\n", "abc"},
      {"3  \r\nabc\r\n000\r\nX-Sum: 1\r\nY: 2\r\n\r\n", "abc; X-Sum=1; Y=2"},
      {"3\r\nabc\r\n0\r\n", "more is needed"},
      {"3\nabc\r\n0\r\n\r\n", "a chunk's size ends without CRLF"},
      {"3\r\nabcd\r\n0\r\n\r\n", "a chunk is longer than its size"},
      {"3\r\nabc\n0\r\n\r\n", "a chunk is longer than its size"},
      {"0x3\r\nabc\r\n0\r\n\r\n", "a chunk's size is no number"},
      {"-3\r\nabc\r\n", "a chunk's size is no number"},
      {"\r\nabc", "a chunk's size is no number"},
      {"3 3\r\nabc\r\n", "a chunk's size is no number"},
      {"3;a\x01\r\nabc\r\n", "a chunk's size is no number"},
      {"3;a\rb\r\nabc\r\n", "a chunk's size is no number"},
      {"ffffffffffffffffff\r\n", "a chunk's size is no number"},
      {"3;" + std::string(kMaxChunkLine, 'a'), "a chunk's size line is too long"},
      {"0\r\nA: b\r\n c\r\n\r\n", "a header line begins with a space (obsolete folding)"},
      {"0\r\nA: " + std::string(kMaxTrailers, 'b'), "too many trailers"},
  };
  for (const auto& [bytes, meant] : kTable) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{7}, bytes.size()}) {
      EXPECT_EQ(decode(bytes, size), meant) << bytes.substr(0, 60) << " in pieces of " << size;
    }
  }
}

}  // namespace
}  // namespace agentvm::egress::http
