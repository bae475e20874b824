#include "oci/base/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentvm {

struct Inner {
  std::uint32_t uid = 7;
  std::optional<std::int8_t> level;
};
void json_fields(auto& io, Like<Inner> auto& inner) {
  io.required("uid", inner.uid);
  io.optional("level", inner.level);
}

enum class Colour : std::uint8_t { red, green };
inline std::span<const JsonWord<Colour>> json_words(Colour) {
  static constexpr JsonWord<Colour> kWords[] = {{"red", Colour::red}, {"green", Colour::green}};
  return kWords;
}

struct Outer {
  std::string name = "unset";
  bool flag = false;
  double ratio = 0;
  std::uint64_t big = 0;
  Inner inner;
  std::vector<Inner> list;
  std::map<std::string, std::string> map;
  Colour colour = Colour::red;
  std::string deep;
};
struct NoSpace {
  std::string operator()(const std::string& text) const {
    return text.find(' ') == text.npos ? "" : "must have no space";
  }
};
void json_fields(auto& io, Like<Outer> auto& outer) {
  io.optional("name", outer.name, NoSpace{});
  io.optional("flag", outer.flag);
  io.optional("ratio", outer.ratio);
  io.optional("big", outer.big);
  io.optional("inner", outer.inner);
  io.optional("list", outer.list);
  io.optional("map", outer.map);
  io.optional("colour", outer.colour);
  io.object("nested", false, [&outer](auto& nested) { nested.required("deep", outer.deep); });
}

namespace {

std::string error_of(std::string_view text, JsonLimits limits = {}) {
  const auto outer = parse_json<Outer>(text, nullptr, limits);
  if (outer) return "no error";
  EXPECT_EQ(outer.error().kind, ErrorKind::invalid_argument);
  return outer.error().text();
}

TEST(JsonReader, ReadsEveryType) {
  const auto outer = parse_json<Outer>(R"({
      "name": "wörld\n\u00e9\ud83d\ude00", "flag": true, "ratio": 1, "big": 18446744073709551615,
      "inner": {"uid": 4294967295, "level": -128}, "list": [{"uid": 0}, {"uid": 1}],
      "map": {"a": "1", "": "2"}, "colour": "green", "nested": {"deep": "d"}})");
  ASSERT_TRUE(outer) << outer.error().text();
  EXPECT_EQ(outer->name, "wörld\n\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_TRUE(outer->flag);
  EXPECT_EQ(outer->ratio, 1.0);
  EXPECT_EQ(outer->big, 18446744073709551615U);
  EXPECT_EQ(outer->inner.uid, 4294967295U);
  EXPECT_EQ(outer->inner.level, -128);
  EXPECT_EQ(outer->list.size(), 2U);
  EXPECT_EQ(outer->map.at(""), "2");
  EXPECT_EQ(outer->colour, Colour::green);
  EXPECT_EQ(outer->deep, "d");
}

TEST(JsonReader, TakesNullForAbsent) {
  const auto outer = parse_json<Outer>(R"({"name": null, "list": null, "nested": null})");
  ASSERT_TRUE(outer);
  EXPECT_EQ(outer->name, "unset");
  EXPECT_EQ(error_of(R"({"inner": {"uid": null}})"), "/inner/uid: required");
}

TEST(JsonReader, RefusesWhatNlohmannWouldBend) {
  EXPECT_EQ(error_of(R"({"inner": {"uid": -1}})"),
            "/inner/uid: expected an unsigned 32-bit integer, found -1");
  EXPECT_EQ(error_of(R"({"inner": {"uid": 4294967296}})"),
            "/inner/uid: expected an unsigned 32-bit integer, found 4294967296");
  EXPECT_EQ(error_of(R"({"inner": {"uid": 1.9}})"),
            "/inner/uid: expected an unsigned 32-bit integer, found 1.9");
  EXPECT_EQ(error_of(R"({"inner": {"uid": 1e3}})"),
            "/inner/uid: expected an unsigned 32-bit integer, found 1e3");
  EXPECT_EQ(error_of(R"({"inner": {"uid": true}})"),
            "/inner/uid: expected an unsigned 32-bit integer, found true");
  EXPECT_EQ(error_of(R"({"inner": {"uid": 1, "level": 128}})"),
            "/inner/level: expected a signed 8-bit integer, found 128");
  EXPECT_EQ(error_of(R"({"inner": {"uid": 1, "level": -129}})"),
            "/inner/level: expected a signed 8-bit integer, found -129");
  EXPECT_EQ(error_of(R"({"big": 18446744073709551616})"),
            "/big: expected an unsigned 64-bit integer, found 18446744073709551616");
  EXPECT_EQ(error_of(R"({"flag": 1})"), "/flag: expected a boolean, found 1");
  EXPECT_EQ(error_of(R"({"name": 1})"), "/name: expected a string, found 1");
  EXPECT_EQ(error_of(R"({"map": {"k": null}})"), "/map/k: expected a string, found null");
}

TEST(JsonReader, RefusesDuplicateMembersAnywhere) {
  EXPECT_EQ(error_of(R"({"name": "a", "name": "a"})"), "/name: given twice");
  EXPECT_EQ(error_of(R"({"list": [{"uid": 1}, {"uid": 1, "uid": 2}]})"),
            "/list/1/uid: given twice");
  // Equal once unescaped, and in a member nobody reads.
  EXPECT_EQ(error_of(R"({"other": [[{"a": 1, "\u0061": 2}]]})"), "/other/0/0/a: given twice");
}

TEST(JsonReader, NamesThePlaceWithTheMembersEscaped) {
  EXPECT_EQ(error_of(R"({"list": [{"uid": 1}, {"uid": "x"}]})"),
            "/list/1/uid: expected an unsigned 32-bit integer, found \"x\"");
  EXPECT_EQ(error_of(R"({"map": {"a/b~c": 1}})"), "/map/a~1b~0c: expected a string, found 1");
  EXPECT_EQ(error_of(R"([])"), "document: expected an object, found an array");
  EXPECT_EQ(error_of(R"({"list": {}})"), "/list: expected an array, found an object");
  EXPECT_EQ(error_of(R"({"nested": {}})"), "/nested/deep: required");
  EXPECT_EQ(error_of(R"({"colour": "blue"})"),
            "/colour: expected one of red, green, found \"blue\"");
  EXPECT_EQ(error_of(R"({"name": "a b"})"), "/name: must have no space, found \"a b\"");
}

TEST(JsonReader, NamesLineAndColumnOfASyntaxError) {
  EXPECT_THAT(error_of("{\n  \"name\": trux\n}"),
              testing::StartsWith("document: line 2, column 14: syntax error while parsing value"));
  EXPECT_THAT(error_of(""), testing::StartsWith("document: line 1, column 1: syntax error"));
  EXPECT_THAT(error_of(R"({"name": "a",})"), testing::HasSubstr("line 1, column 14"));
  EXPECT_THAT(error_of(R"({} {})"), testing::HasSubstr("line 1, column 4"));
  EXPECT_THAT(error_of("{\"name\": \"\xff\"}"), testing::HasSubstr("ill-formed UTF-8"));
  EXPECT_THAT(error_of(R"({"name": "\ud83d"})"), testing::HasSubstr("surrogate"));
  EXPECT_THAT(error_of(R"({"ratio": 1e999})"), testing::HasSubstr("overflow"));
  EXPECT_THAT(error_of("// comment\n{}"), testing::HasSubstr("line 1, column 1"));
}

TEST(JsonReader, NeverQuotesTheBytesOfABrokenDocument) {
  const std::string text = error_of("{\"name\": \"secret-\x01\xfe\"}");
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("secret")));
  EXPECT_THAT(text, testing::HasSubstr("control character"));
}

TEST(JsonReader, RefusesNulCharacters) {
  EXPECT_EQ(error_of(R"({"name": "a\u0000b"})"), "/name: holds a NUL character");
  EXPECT_EQ(error_of(R"({"map": {"a\u0000b": ""}})"), "/map/a?b: the name holds a NUL character");
}

TEST(JsonReader, HoldsItsLimits) {
  EXPECT_EQ(error_of("[1, 2, 3]", {.bytes = 8}), "document: longer than 8 bytes");
  EXPECT_EQ(error_of("[[[]]]", {.depth = 2}), "document: nested deeper than 2 levels");
  EXPECT_EQ(error_of("[1, 2, 3]", {.values = 2}), "document: holds more than 2 values");
  const std::string deep(200'000, '[');
  EXPECT_EQ(error_of(deep), "document: nested deeper than 64 levels");
  EXPECT_TRUE(JsonDocument::parse(std::string(64, '[') + std::string(64, ']')));
}

TEST(JsonReader, CutsLongKeysAndValuesInMessages) {
  const std::string key(100'000, 'k');
  const std::string pointer_error = error_of("{\"map\": {\"" + key + "\": 1}}");
  EXPECT_LT(pointer_error.size(), 400U);
  EXPECT_THAT(pointer_error, testing::EndsWith("…: expected a string, found 1"));

  std::string text;
  for (int i = 0; i < 1000; ++i) text += "é";
  const std::string value_error = error_of("{\"flag\": \"" + text + "\"}");
  EXPECT_LT(value_error.size(), 200U);
  EXPECT_THAT(value_error, testing::EndsWith("é…\""));
  EXPECT_TRUE(JsonDocument::parse(value_error.substr(value_error.find('"'))));
}

TEST(JsonReader, LetsNoKeyStartANewLineInAMessage) {
  EXPECT_EQ(error_of(R"({"map": {"a\nb\u001b[31m": 1}})"),
            "/map/a?b?[31m: expected a string, found 1");
}

TEST(JsonReader, ReportsMembersThatNobodyAskedFor) {
  JsonUnknown unknown;
  const auto outer = parse_json<Outer>(
      R"({"x": 1, "gone": null, "inner": {"uid": 1, "y": {"z": 1}}, "list": [{"uid": 1, "w": []}],
          "nested": {"deep": "", "v": 0}, "map": {"free": "ok"}})",
      &unknown);
  ASSERT_TRUE(outer) << outer.error().text();
  EXPECT_THAT(unknown.pointers(),
              testing::UnorderedElementsAre("/x", "/inner/y", "/list/0/w", "/nested/v"));
}

TEST(JsonReader, ReportsAtMostSoManyUnknownMembers) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i) text += "\"x" + std::to_string(i) + "\": 1,";
  text.back() = '}';
  JsonUnknown unknown;
  ASSERT_TRUE(parse_json<Outer>(text, &unknown));
  EXPECT_EQ(unknown.pointers().size(), JsonUnknown::kMost);
}

TEST(JsonObject, ReadsAReplyWithoutAStruct) {
  const auto document = JsonDocument::parse(R"({"return": {"status": "running"}, "id": 3})");
  ASSERT_TRUE(document);
  JsonObject object(document->root());
  int id = 0;
  object.required("id", id);
  const auto reply = object.value("return");
  ASSERT_TRUE(object.done());
  EXPECT_EQ(id, 3);
  EXPECT_EQ(reply->find("status")->as_string(), "running");
  EXPECT_FALSE(reply->find("nothing"));
  EXPECT_FALSE(document->root().find("id")->find("inside a number"));
}

TEST(JsonObject, KeepsTheFirstError) {
  const auto document = JsonDocument::parse(R"({"a": "x", "b": "y"})");
  ASSERT_TRUE(document);
  JsonObject object(document->root());
  int a = 1;
  int b = 2;
  object.optional("a", a);
  object.optional("b", b);
  object.ensure(false, "b", "never told");
  EXPECT_EQ(object.done().error().text(), "/a: expected a signed 32-bit integer, found \"x\"");
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 2);
}

TEST(JsonDocument, OutlivesItsTextAndMoves) {
  std::string text = R"({"k": ["v"]})";
  auto document = JsonDocument::parse(text);
  ASSERT_TRUE(document);
  text.assign(text.size(), '#');
  const JsonDocument moved = std::move(*document);
  EXPECT_EQ(moved.root().find("k")->item(0).as_string(), "v");
  EXPECT_EQ(moved.root().find("k")->item(0).pointer(), "/k/0");
}

}  // namespace
}  // namespace agentvm
