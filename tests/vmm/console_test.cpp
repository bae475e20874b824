#include "vmm/console.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace agentvm::vmm {
namespace {

std::string tail_of(std::string_view bytes) {
  ConsoleTail tail;
  tail.add(bytes);
  return tail.text();
}

TEST(ConsoleTail, JoinsPiecesAndKeepsTheUnfinishedLine) {
  ConsoleTail tail;
  tail.add("one\r\ntw");
  tail.add("o\n\nthr");
  EXPECT_EQ(tail.text(), "one\ntwo\nthr");
}

TEST(ConsoleTail, ReplacesWhatCouldMoveTheCursor) {
  EXPECT_EQ(tail_of("a\x1b[2Jb\x1b[31;1mc\x1b"
                    "Dd\x07"
                    "e\tf\xc3\xa9"),
            "abcd?e f??");
}

TEST(ConsoleTail, EndsAnEscapeSequenceWithTheLine) {
  EXPECT_EQ(tail_of("\x1b[12;\nnext"), "next");
}

TEST(ConsoleTail, KeepsAtMostFortyLines) {
  ConsoleTail tail;
  for (int i = 0; i < 100; ++i) tail.add(std::to_string(i) + "\n");
  tail.add("last");
  const std::string text = tail.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 39);
  EXPECT_TRUE(text.starts_with("61\n"));
  EXPECT_TRUE(text.ends_with("99\nlast"));
}

TEST(ConsoleTail, CutsLongLines) {
  EXPECT_EQ(tail_of(std::string(100'000, 'x')), std::string(ConsoleTail::kLongestLine, 'x'));
}

}  // namespace
}  // namespace agentvm::vmm
