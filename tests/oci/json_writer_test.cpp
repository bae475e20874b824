#include "oci/base/json_writer.h"

#include <gtest/gtest.h>

#include <limits>

#include "oci/base/json_reader.h"

namespace agentvm {
namespace {

TEST(JsonWriter, WritesMembersInTheirOrder) {
  JsonWriter json;
  json.begin_object();
  json.key("z").value("text").key("a").value(1).key("list").begin_array();
  json.value(true).value(std::uint64_t{18446744073709551615U}).value(-1).null();
  json.end_array().key("empty").begin_object().end_object();
  json.key("raw").raw("[1]").end_object();
  EXPECT_EQ(
      json.take(),
      R"({"z":"text","a":1,"list":[true,18446744073709551615,-1,null],"empty":{},"raw":[1]})");
}

TEST(JsonWriter, IndentsAsAskedFor) {
  JsonWriter json(2);
  json.begin_object().key("a").begin_array().value(1).value(2).end_array();
  json.key("b").begin_object().end_object().end_object();
  EXPECT_EQ(json.take(), "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}");
}

TEST(JsonWriter, EscapesWhatJsonCannotHold) {
  JsonWriter json;
  json.value("q\" b\\ n\n t\t \x01 \x7f é");
  EXPECT_EQ(json.take(), "\"q\\\" b\\\\ n\\n t\\t \\u0001 \x7f é\"");
}

TEST(JsonWriter, ReplacesBytesThatAreNoUtf8) {
  JsonWriter json;
  json.value("a\xff\xc3");
  const std::string text = json.take();
  const auto document = JsonDocument::parse(text);
  ASSERT_TRUE(document) << document.error().text();
  EXPECT_EQ(document->root().as_string(), "a\ufffd\ufffd");
}

TEST(JsonWriter, KeepsRealNumbersReal) {
  JsonWriter json;
  json.begin_array().value(1.0).value(0.1).value(1e300);
  json.value(std::numeric_limits<double>::infinity()).end_array();
  EXPECT_EQ(json.take(), "[1.0,0.1,1e+300,null]");
}

TEST(JsonWriter, WritesSmallIntegersAsNumbers) {
  EXPECT_EQ(write_json(std::vector<std::uint8_t>{65, 255}), "[65,255]");
}

}  // namespace
}  // namespace agentvm
