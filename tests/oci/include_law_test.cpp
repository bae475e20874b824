// Who may include whom (the table of rooms in the design), read from the #include lines of every
// source in the rooms. CMake's links hold the same law for code; this holds it for headers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/sys.h"

namespace agentvm {
namespace {

namespace fs = std::filesystem;

// room → the other rooms it may include. Nothing may include shim or sandbox; vmm and guest-agent
// never see each other.
const std::map<std::string, std::set<std::string>, std::less<>> kMayInclude = {
    {"oci", {}},
    {"rpc", {"oci"}},
    {"guest-agent", {"rpc", "oci"}},
    {"vmm", {"oci"}},
    {"runtime", {"vmm", "rpc", "oci"}},
    {"shim", {"runtime", "rpc", "oci"}},
    {"egress", {"oci"}},
    {"sandbox", {"runtime", "egress", "oci"}},
};

// The paths of `#include "…"` in a source text.
std::vector<std::string> quoted_includes(std::string_view text) {
  std::vector<std::string> paths;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string line(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    std::erase_if(line, [](char c) { return c == ' ' || c == '\t'; });
    constexpr std::string_view kInclude = "#include\"";
    if (!line.starts_with(kInclude)) continue;
    line.erase(0, kInclude.size());
    paths.push_back(line.substr(0, line.find('"')));
  }
  return paths;
}

// What is wrong with including `path` from a file of `room`; "" when nothing is.
std::string wrong_with(std::string_view room, std::string_view path) {
  // What configure makes in the build folder belongs to no room: versions and paths.
  if (path.starts_with("agentvm_") && path.find('/') == path.npos) return "";
  const std::string_view first = path.substr(0, path.find('/'));
  const auto allowed = kMayInclude.find(room);
  if (allowed == kMayInclude.end()) return "no such room";
  if (!kMayInclude.contains(first)) return "is not written from the root of the repository";
  if (path.find("..") != path.npos) return "leaves its folder";
  if (first == room || allowed->second.contains(std::string(first))) return "";
  return "crosses the law: " + std::string(room) + " may not include " + std::string(first);
}

// One line per wrong include in the sources beneath root/<room>.
std::vector<std::string> violations(const fs::path& root) {
  std::vector<std::string> out;
  for (const auto& [room, allowed] : kMayInclude) {
    if (!fs::exists(root / room)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / room)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp" && extension != ".c") continue;
      const auto text = sys::read_file(entry.path(), 4 << 20);
      if (!text) continue;  // another build's temporary file
      for (const std::string& path : quoted_includes(*text)) {
        const std::string wrong = wrong_with(room, path);
        if (wrong.empty()) continue;
        out.push_back(fs::relative(entry.path(), root).string() + ": \"" + path + "\" " + wrong);
      }
    }
  }
  return out;
}

TEST(IncludeLaw, HoldsInEveryRoom) {
  EXPECT_THAT(violations(AGENTVM_SOURCE_DIR), testing::IsEmpty());
}

TEST(IncludeLaw, SeesTheSourcesItJudges) {
  const auto text =
      sys::read_file(std::string(AGENTVM_SOURCE_DIR) + "/oci/spec_parser.cpp", 1 << 20);
  ASSERT_TRUE(text);
  EXPECT_THAT(quoted_includes(*text), testing::Contains("oci/base/json_reader.h"));
}

TEST(IncludeLaw, IsTheTableOfTheDesign) {
  EXPECT_EQ(wrong_with("runtime", "vmm/machine.h"), "");
  EXPECT_EQ(wrong_with("guest-agent", "guest-agent/launch.h"), "");
  EXPECT_EQ(wrong_with("vmm", "guest-agent/launch.h"),
            "crosses the law: vmm may not include guest-agent");
  EXPECT_EQ(wrong_with("guest-agent", "vmm/machine.h"),
            "crosses the law: guest-agent may not include vmm");
  EXPECT_EQ(wrong_with("oci", "rpc/client.h"), "crosses the law: oci may not include rpc");
  EXPECT_EQ(wrong_with("runtime", "shim/task.h"), "crosses the law: runtime may not include shim");
  EXPECT_EQ(wrong_with("runtime", "machine.h"), "is not written from the root of the repository");
  EXPECT_EQ(wrong_with("runtime", "oci/../shim/task.h"), "leaves its folder");
  for (const auto& [room, allowed] : kMayInclude) {
    EXPECT_FALSE(allowed.contains("shim") || allowed.contains("sandbox")) << room;
  }
}

TEST(IncludeLaw, FailsWhereASourceBreaksIt) {
  const fs::path root = fs::path(testing::TempDir()) / "include-law";
  fs::remove_all(root);
  fs::create_directories(root / "vmm" / "deep");
  fs::create_directories(root / "oci");
  const auto write = [](const fs::path& path, std::string_view text) {
    auto fd = sys::open_at(AT_FDCWD, path, O_CREAT | O_WRONLY, 0600);
    ASSERT_TRUE(fd && sys::write_all(fd->get(), text));
  };
  write(root / "vmm" / "deep" / "bad.cpp",
        "#include <vector>\n  #  include \"guest-agent/launch.h\"\n#include \"oci/spec.h\"\n");
  write(root / "oci" / "good.h", "// #include \"vmm/machine.h\"\n#include \"oci/spec.h\"\n");
  EXPECT_THAT(
      violations(root),
      testing::ElementsAre("vmm/deep/bad.cpp: \"guest-agent/launch.h\" crosses the law: vmm "
                           "may not include guest-agent"));
  fs::remove_all(root);
}

}  // namespace
}  // namespace agentvm
