#include "rpc/status.h"

#include <gtest/gtest.h>

namespace agentvm::rpc {
namespace {

using std::string_literals::operator""s;

TEST(Status, GivesEveryErrorKindBack) {
  for (const auto kind :
       {ErrorKind::invalid_argument, ErrorKind::not_found, ErrorKind::already_exists,
        ErrorKind::failed_precondition, ErrorKind::unavailable, ErrorKind::internal}) {
    EXPECT_EQ(kind_of_status(status_of(kind)), kind) << name_of(kind);
  }
}

TEST(Status, HasTheCodesOfGrpc) {
  EXPECT_EQ(status_of(ErrorKind::invalid_argument), 3);
  EXPECT_EQ(status_of(ErrorKind::not_found), 5);
  EXPECT_EQ(status_of(ErrorKind::already_exists), 6);
  EXPECT_EQ(status_of(ErrorKind::failed_precondition), 9);
  EXPECT_EQ(status_of(ErrorKind::internal), 13);
  EXPECT_EQ(status_of(ErrorKind::unavailable), 14);
}

TEST(Status, TakesAForeignCodeForInternalAndADeadlineForUnavailable) {
  EXPECT_EQ(kind_of_status(kStatusUnimplemented), ErrorKind::internal);
  EXPECT_EQ(kind_of_status(-1), ErrorKind::internal);
  EXPECT_EQ(kind_of_status(4), ErrorKind::unavailable);
}

TEST(Printable, KeepsWellFormedText) {
  EXPECT_EQ(printable("mount '/proc': größer, 日本, 😀", 100), "mount '/proc': größer, 日本, 😀");
  EXPECT_EQ(printable("", 100), "");
}

TEST(Printable, ReplacesWhatIsNoUtf8) {
  EXPECT_EQ(printable("a\xffz", 100), "a?z");
  EXPECT_EQ(printable("\xc0\xaf", 100), "??") << "overlong";
  EXPECT_EQ(printable("\xed\xa0\x80", 100), "???") << "surrogate";
  EXPECT_EQ(printable("\xf4\x90\x80\x80", 100), "????") << "past U+10FFFF";
  EXPECT_EQ(printable("x\xe6\x97", 100), "x??") << "cut";
}

TEST(Printable, LeavesNothingThatSteersATerminalOrEndsALine) {
  EXPECT_EQ(printable("a\nb\r\x1b[31mc\x7f\0d"s, 100), "a b  [31mc  d");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "1m",
                      100),
            "a 1m")
      << "C1";
}

TEST(Printable, CutsBetweenCharactersAndSaysSo) {
  EXPECT_EQ(printable("1234567890", 10), "1234567890");
  EXPECT_EQ(printable("12345678901", 10), "1234567...");
  EXPECT_EQ(printable("12345ßßß", 10), "12345ß...");
  EXPECT_LE(printable("ßßßßßßßßßß", 10).size(), 10u);
}

}  // namespace
}  // namespace agentvm::rpc
