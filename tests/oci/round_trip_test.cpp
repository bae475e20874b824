// What is parsed, written and parsed again is the same value.
#include <gtest/gtest.h>

#include "oci/base/json_reader.h"
#include "oci/default_spec.h"
#include "oci/spec_parser.h"
#include "oci/spec_writer.h"
#include "tests/oci/test_data.h"

namespace agentvm::oci {
namespace {

Spec parsed(std::string_view text) {
  auto spec = parse_spec(text);
  EXPECT_TRUE(spec) << spec.error().text();
  return spec.value_or(Spec{});
}

// Every member name in `value` and how often: a writer that forgets one is caught.
void count_members(JsonValue value, std::map<std::string, int>& names) {
  for (std::size_t i = 0; i < value.size(); ++i) {
    const JsonValue item = value.item(i);
    if (!item.key().empty()) ++names[std::string(item.key())];
    count_members(item, names);
  }
}

std::map<std::string, int> members(std::string_view text) {
  const auto document = JsonDocument::parse(text);
  EXPECT_TRUE(document);
  std::map<std::string, int> names;
  if (document) count_members(document->root(), names);
  return names;
}

TEST(SpecRoundTrip, KeepsADockerSpec) {
  const Spec spec = parsed(test_data("docker.json"));
  EXPECT_TRUE(spec.unknown_members.empty()) << spec.unknown_members.front();
  EXPECT_EQ(parsed(write_spec(spec)), spec);
  EXPECT_EQ(parsed(write_spec(spec, 4)), spec);
}

TEST(SpecRoundTrip, KeepsEveryMemberOfTheSpecification) {
  const std::string text = test_data("every_member.json");
  const Spec spec = parsed(text);
  EXPECT_TRUE(spec.unknown_members.empty()) << spec.unknown_members.front();
  EXPECT_EQ(parsed(write_spec(spec)), spec);
  EXPECT_EQ(members(write_spec(spec)), members(text));
}

TEST(SpecRoundTrip, KeepsTheDefaultSpec) {
  EXPECT_EQ(parsed(write_spec(default_spec())), default_spec());
}

TEST(SpecRoundTrip, KeepsThePartsAlone) {
  for (const char* name : {"docker.json", "every_member.json"}) {
    const Spec spec = parsed(test_data(name));
    ASSERT_TRUE(spec.process && spec.linux_ && spec.linux_->resources);
    EXPECT_EQ(parse_process(write_process(*spec.process)), *spec.process);
    EXPECT_EQ(parse_resources(write_resources(*spec.linux_->resources)), *spec.linux_->resources);
  }
}

TEST(SpecRoundTrip, TellsAbsentFromEmptyObjects) {
  Spec spec = default_spec();
  spec.linux_.emplace().resources.emplace().memory.emplace();
  spec.process->capabilities.emplace();
  EXPECT_EQ(parsed(write_spec(spec)), spec);
  spec.linux_->resources->memory.reset();
  EXPECT_EQ(parsed(write_spec(spec)), spec);
}

TEST(WriteProcess, AlwaysWritesWhatTheSpecificationRequires) {
  Process process;
  process.args = {"true"};
  process.cwd = "/";
  EXPECT_EQ(write_process(process), R"({"user":{"uid":0,"gid":0},"args":["true"],"cwd":"/"})");
}

}  // namespace
}  // namespace agentvm::oci
