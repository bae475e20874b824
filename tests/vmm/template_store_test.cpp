// Where templates lie: what counts as one, and what is refused.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "oci/base/sys.h"
#include "tests/temp_dir.h"
#include "vmm/template/checksum.h"
#include "vmm/template/store.h"

namespace agentvm::vmm {
namespace {

using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr std::uint64_t kMib = 1024 * 1024;

class Store : public ::testing::Test {
 protected:
  static TemplateKey key(const std::string& of = "machine") { return TemplateKey{of + "\n"}; }

  TemplateStore open() const {
    auto store = TemplateStore::open(directory());
    EXPECT_TRUE(store) << (store ? "" : store.error().text());
    return std::move(*store);
  }

  // A template whose guest has one MiB, with one page in it.
  void publish(const TemplateStore& store, const TemplateKey& of = key()) const {
    auto draft = store.begin(of);
    ASSERT_TRUE(draft) << draft.error().text();
    const auto memory =
        *sys::open_at(draft->directory.get(), "memory", O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_EQ(::ftruncate(memory.get(), kMib), 0);
    ASSERT_EQ(::pwrite(memory.get(), "page", 4, 40960), 4);
    const auto state =
        *sys::open_at(draft->directory.get(), "state", O_RDWR | O_CREAT | O_EXCL, 0600);
    ASSERT_TRUE(sys::write_all(state.get(), "the state"));
    TemplateManifest manifest;
    manifest.key = of.text;
    manifest.vcpus = 1;
    manifest.memory_mib = 1;
    manifest.memory_used_bytes = 4096;
    manifest.memory_checksum = *checksum_of_pages(memory.get());
    manifest.state_bytes = 9;
    manifest.state_checksum = checksum("the state");
    const auto published = store.publish(std::move(*draft), manifest);
    ASSERT_TRUE(published) << published.error().text();
  }

  std::string why_not(const TemplateStore& store, const TemplateKey& of = key()) const {
    const auto found = store.find(of);
    EXPECT_FALSE(found);
    return found ? "found" : found.error().text();
  }

  std::string directory() const { return scratch_ / "cache/templates"; }
  std::string file(const std::string& name) const {
    return directory() + "/" + key().name() + "/" + name;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory())) {
      found.push_back(entry.path().filename());
    }
    return found;
  }

  TempDir scratch_;
};

TEST_F(Store, IsMadeForItsOwnerAlone) {
  (void)open();
  struct stat status{};
  ASSERT_EQ(::stat(directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
}

TEST_F(Store, WantsAnAbsolutePath) {
  const auto store = TemplateStore::open("templates");
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().text(), HasSubstr("'templates' is no absolute path"));
}

TEST_F(Store, RefusesADirectoryThatOthersMayWrite) {
  std::filesystem::create_directories(directory());
  ASSERT_EQ(::chmod(directory().c_str(), 0775), 0);
  const auto store = TemplateStore::open(directory());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().kind, ErrorKind::failed_precondition);
  EXPECT_THAT(store.error().text(), HasSubstr("may be written by others (mode 0775)"));
}

TEST_F(Store, RefusesADirectoryOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::filesystem::create_directories(directory());
  ASSERT_EQ(::chown(directory().c_str(), 1234, 0), 0);
  const auto store = TemplateStore::open(directory());
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().text(), HasSubstr("belongs to uid 1234"));
}

TEST_F(Store, FindsWhatWasPublishedAndNothingElse) {
  const auto store = open();
  EXPECT_EQ(store.find(key()).error().kind, ErrorKind::not_found);
  publish(store);
  const auto found = store.find(key());
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->manifest.memory_used_bytes, 4096U);
  EXPECT_EQ(*sys::read_all(found->state.get(), 100), "the state");
  EXPECT_EQ(store.find(key("other")).error().kind, ErrorKind::not_found);
  EXPECT_THAT(names(), ElementsAre(key().name()));
}

TEST_F(Store, RefusesATemplateThatWasMadeOfSomethingElse) {
  const auto store = open();
  publish(store);
  // Another key with the same name, were there one.
  std::filesystem::rename(directory() + "/" + key().name(),
                          directory() + "/" + key("other").name());
  EXPECT_THAT(why_not(store, key("other")), HasSubstr("was made of something else"));
}

TEST_F(Store, RefusesTruncatedAndDamagedFiles) {
  const auto store = open();
  publish(store);
  ASSERT_EQ(::truncate(file("memory").c_str(), kMib / 2), 0);
  EXPECT_THAT(why_not(store), HasSubstr("its file 'memory' has 524288 bytes instead of 1048576"));
  ASSERT_EQ(::truncate(file("memory").c_str(), kMib), 0);
  ASSERT_TRUE(sys::write_file(file("state"), "The state"));
  EXPECT_THAT(why_not(store), HasSubstr("'state' is damaged"));
  ASSERT_TRUE(sys::write_file(file("state"), "the state"));
  EXPECT_TRUE(store.find(key()));
  ASSERT_TRUE(sys::write_file(file("manifest.json"), "{]"));
  EXPECT_THAT(why_not(store), HasSubstr("its manifest is damaged"));
  std::filesystem::remove(file("manifest.json"));
  EXPECT_THAT(why_not(store), HasSubstr("its manifest cannot be read"));
}

TEST_F(Store, RefusesFilesThatSomebodyElseCouldHaveWritten) {
  const auto store = open();
  publish(store);
  ASSERT_EQ(::chmod(file("memory").c_str(), 0666), 0);
  EXPECT_THAT(why_not(store), HasSubstr("its file 'memory' may be written by others"));
  ASSERT_EQ(::chmod(file("memory").c_str(), 0600), 0);
  std::filesystem::remove(file("state"));
  std::filesystem::create_symlink("/etc/passwd", file("state"));
  EXPECT_THAT(why_not(store), HasSubstr("its file 'state' cannot be opened"));
}

TEST_F(Store, VerifiesTheMemoryToo) {
  const auto store = open();
  publish(store);
  EXPECT_TRUE(store.verify(key().name()));
  const auto memory = *sys::open_at(AT_FDCWD, file("memory"), O_RDWR);
  ASSERT_EQ(::pwrite(memory.get(), "x", 1, 500'000), 1);
  EXPECT_TRUE(store.find(key()));
  const auto verified = store.verify(key().name());
  ASSERT_FALSE(verified);
  EXPECT_THAT(verified.error().text(), HasSubstr("'memory' is damaged"));
}

TEST_F(Store, LetsOneBuildAtATime) {
  const auto store = open();
  auto first = store.begin(key());
  ASSERT_TRUE(first);
  EXPECT_EQ(store.begin(key()).error().kind, ErrorKind::already_exists);
  EXPECT_TRUE(store.begin(key("other")));
  store.discard(std::move(*first), "");
  EXPECT_TRUE(store.begin(key()));
}

TEST_F(Store, ClearsAwayWhatAKilledBuilderLeft) {
  const auto store = open();
  const pid_t builder = ::fork();
  if (builder == 0) {
    auto draft = store.begin(key());
    (void)::mkdirat(draft->directory.get(), "half", 0700);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(builder, nullptr, 0), builder);
  EXPECT_TRUE(std::filesystem::exists(directory() + "/" + key().name() + ".new/half"));
  publish(store);
  EXPECT_THAT(names(), ElementsAre(key().name()));
}

TEST_F(Store, RemembersWhyABuildFailedForAWhile) {
  const auto store = open();
  store.discard(*store.begin(key()), "no space");
  EXPECT_EQ(store.recent_failure(key(), minutes(10)), "no space");
  EXPECT_EQ(store.recent_failure(key("other"), minutes(10)), "");
  const std::string note = directory() + "/" + key().name() + ".failed";
  const std::time_t now = std::time(nullptr);
  for (const std::time_t at : {now - 601, now + 3600}) {
    const timespec times[2] = {{at, 0}, {at, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, note.c_str(), times, 0), 0);
    EXPECT_EQ(store.recent_failure(key(), minutes(10)), "") << at - now;
  }
  publish(store);
  EXPECT_FALSE(std::filesystem::exists(note));
}

TEST_F(Store, PrunesTheLeastUsedAndTheDamagedAndTheUnfinished) {
  const auto store = open();
  std::time_t at = 1'000'000;
  for (const char* of : {"a", "b", "c", "d"}) {
    publish(store, key(of));
    const timespec times[2] = {{++at, 0}, {at, 0}};
    const std::string path = directory() + "/" + key(of).name();
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  ASSERT_EQ(::truncate((directory() + "/" + key("d").name() + "/state").c_str(), 1), 0);
  (void)store.find(key("a"));  // the last used one now
  store.discard(*store.begin(key("failed")), "why");
  auto held = store.begin(key("held"));
  std::filesystem::create_directory(directory() + "/" + key("dead").name() + ".new");
  const auto removed = store.prune(2);
  ASSERT_TRUE(removed) << removed.error().text();
  EXPECT_THAT(*removed,
              UnorderedElementsAre(key("b").name(), key("d").name(), key("dead").name() + ".new"));
  EXPECT_THAT(names(),
              UnorderedElementsAre(key("a").name(), key("c").name(), key("held").name() + ".new",
                                   key("held").name() + ".lock"));
}

TEST_F(Store, ListsTheLastUsedFirstAndSaysWhatIsWrong) {
  const auto store = open();
  publish(store);
  auto entries = store.list();
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_TRUE(entries->front().manifest);
  EXPECT_THAT(entries->front().problem, IsEmpty());
  ASSERT_EQ(::truncate(file("state").c_str(), 1), 0);
  entries = store.list();
  EXPECT_FALSE(entries->front().manifest);
  EXPECT_THAT(entries->front().problem, HasSubstr("has 1 bytes instead of 9"));
}

TEST_F(Store, RemovesByNameAndNothingButTemplates) {
  const auto store = open();
  publish(store);
  for (const char* name : {"..", "", "../templates", "0000000000000000", "x"}) {
    const auto removed = store.remove(name);
    ASSERT_FALSE(removed) << name;
    EXPECT_EQ(removed.error().kind, ErrorKind::not_found) << name;
  }
  EXPECT_TRUE(store.remove(key().name()));
  EXPECT_THAT(names(), IsEmpty());
}

}  // namespace
}  // namespace agentvm::vmm
