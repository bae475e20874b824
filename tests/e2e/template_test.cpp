// VMs restored from templates: the command that makes them, what two of one template do not share,
// and every way in which a store can be bad.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/base/json_reader.h"
#include "tests/e2e/harness/container.h"

namespace agentvm::e2e {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Templates : public Agentvm {
 protected:
  void SetUp() override {
    Agentvm::SetUp();
    use_store(true);
  }

  void use_store(bool automatic) const {
    configure("", "automatic = " + std::string(automatic ? "true" : "false") + "\ndirectory = \"" +
                      store() + "\"\n");
  }
  [[nodiscard]] std::string store() const { return scratch() + "/templates"; }

  // Makes the template of the default size in this test's store.
  std::string make_template() const {
    const Outcome made = agentvm({"template", "create"});
    EXPECT_EQ(made.status, 0) << made.err;
    return made.out.substr(0, made.out.find(' '));
  }
  // Takes over the one that the tests share, which is faster.
  std::string take_template() const {
    EXPECT_EQ(run_command({"cp", "--archive", "--sparse=always", shared_store(), store()}).status,
              0);
    return make_template();
  }

  // That a container runs though its VM has to boot, and that it is said why.
  void expect_boot(const std::string& why) const {
    const Outcome outcome = run_timed(Bundle(Bundle::shell("echo runs")));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out, "runs\n");
    EXPECT_THAT(outcome.err, AllOf(HasSubstr(why), Not(HasSubstr(kRestored))));
  }

  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(store()))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  // Of this test's store.
  [[nodiscard]] std::vector<pid_t> builders() const {
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      std::error_code gone;
      for (const auto& fd : fs::directory_iterator(entry.path() / "fd", gone)) {
        const std::string target = fs::read_symlink(fd.path(), gone);
        if (target.starts_with(store()) && target.ends_with(".lock")) {
          found.push_back(std::stoi(name));
        }
      }
    }
    return found;
  }
  void await_builders() const {
    EXPECT_TRUE(eventually([this] { return builders().empty(); }, std::chrono::seconds(60)));
  }
};

TEST_F(Templates, AreMadeListedCheckedAndRemovedByCommand) {
  const std::string name = make_template();
  EXPECT_EQ(name.size(), 16U);
  EXPECT_THAT(agentvm({"template", "create"}).out, HasSubstr(name + "  is there already"));
  EXPECT_THAT(agentvm({"template", "ls"}).out, AllOf(HasSubstr(name), HasSubstr("good")));
  const Outcome json = agentvm({"template", "ls", "--format", "json"});
  const auto document = JsonDocument::parse(json.out);
  ASSERT_TRUE(document) << json.out;
  EXPECT_EQ(*document->root().item(0).find("memoryMib")->as_unsigned(), 512U);
  EXPECT_EQ(agentvm({"template", "verify"}).out, name + "  good\n");
  EXPECT_THAT(agentvm({"check"}).out, HasSubstr("templates    1 in " + store()));
  struct stat status{};
  ASSERT_EQ(::stat((store() + "/" + name + "/memory").c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 100 << 20);
  const Outcome unknown = agentvm({"template", "rm", "0123456789abcdef"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_THAT(unknown.err, HasSubstr("there is no template '0123456789abcdef'"));
  EXPECT_EQ(agentvm({"template", "rm", name}).status, 0);
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(Templates, AreRestoredInsteadOfBooting) {
  take_template();
  const Outcome outcome = run_timed(Bundle(Bundle::shell("cat /proc/cmdline; exit 3")));
  EXPECT_EQ(outcome.status, 3) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("agentvm.template"));
  // Of the host and of the guest, in their order.
  std::size_t at = 0;
  for (const char* step : {"QEMU answers", kRestored, "guest: vsock device found",
                           "guest configured", "guest: shared directory mounted", "created",
                           "started", "program and VM ended", "deleted"}) {
    at = outcome.err.find(step, at);
    ASSERT_NE(at, std::string::npos) << step << "\n" << outcome.err;
  }
}

TEST_F(Templates, AreBuiltInTheBackgroundByTheFirstContainerThatMissesOne) {
  expect_boot("one is being built for the next");
  await_builders();
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kRestored));
}

TEST_F(Templates, OfOtherSizesAreOtherTemplates) {
  take_template();
  Bundle bundle(Bundle::shell("grep MemTotal /proc/meminfo"));
  bundle.spec.linux_->resources->memory.emplace();
  bundle.spec.linux_->resources->memory->limit = 256 << 20;
  EXPECT_THAT(run_timed(bundle).err, Not(HasSubstr(kRestored)));
  await_builders();
  const Outcome restored = run_timed(bundle);
  EXPECT_THAT(restored.err, HasSubstr(kRestored));
  EXPECT_THAT(agentvm({"template", "ls"}).out, HasSubstr("384 MiB"));
}

// Whatever is random in a VM must not be so in the same way in another.
TEST_F(Templates, GiveEveryVmItsOwnRandomnessClockAndNames) {
  take_template();
  const Bundle bundle(Bundle::shell(
      "head -c 32 /dev/urandom | md5sum; cat /proc/sys/kernel/random/boot_id "
      "/proc/sys/kernel/random/uuid; mktemp -u; tr -d - < /proc/sys/kernel/random/uuid; date +%s"));
  bundle.store();
  std::set<std::string> seen;
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = run_timed(bundle);
    ASSERT_THAT(outcome.err, HasSubstr(kRestored));
    std::istringstream lines(outcome.out);
    std::vector<std::string> words;
    for (std::string line; std::getline(lines, line);) words.push_back(line);
    ASSERT_EQ(words.size(), 6U) << outcome.out;
    EXPECT_NEAR(std::stod(words.back()), static_cast<double>(std::time(nullptr)), 3);
    words.pop_back();
    for (const std::string& word : words) EXPECT_TRUE(seen.insert(word).second) << word;
  }
}

TEST_F(Templates, OfTwoVmsAtOnceShareNoMemory) {
  take_template();
  const Bundle one(Bundle::shell("echo one > /dev/shm/x; sleep 1000"));
  const Bundle other(Bundle::shell("sleep 1000"));
  create("one", one);
  start("one");
  create("other", other);
  start("other");
  EXPECT_TRUE(
      eventually([this] { return agentvm({"exec", "one", "cat", "/dev/shm/x"}).out == "one\n"; }));
  EXPECT_THAT(agentvm({"exec", "other", "cat", "/dev/shm/x"}).err, HasSubstr("No such file"));
}

TEST_F(Templates, AreBuiltOnceHoweverManyMissThem) {
  std::vector<std::unique_ptr<Bundle>> bundles;
  std::vector<std::unique_ptr<Background>> runs;
  for (int i = 0; i < 6; ++i) {
    bundles.push_back(std::make_unique<Bundle>(Bundle::shell("echo runs")));
    bundles.back()->store();
    runs.push_back(std::make_unique<Background>(
        command({"run", "--bundle", bundles.back()->path(), "web" + std::to_string(i)})));
  }
  int announced = 0;
  for (const auto& run : runs) {
    const Outcome outcome = run->wait();
    EXPECT_EQ(outcome.out, "runs\n") << outcome.err;
    if (outcome.err.contains("one is being built")) ++announced;
  }
  EXPECT_EQ(announced, 1);
  await_builders();
  EXPECT_EQ(files().size(), 1U);
}

TEST_F(Templates, WhoseStateIsDamagedAreNotUsed) {
  const std::string name = take_template();
  use_store(false);
  std::fstream(store() + "/" + name + "/state", std::ios::in | std::ios::out).write("x", 1);
  expect_boot("its file 'state' is damaged");
}

TEST_F(Templates, WhoseMemoryIsCutShortAreNotUsedAndBuiltAnew) {
  const std::string name = take_template();
  fs::resize_file(store() + "/" + name + "/memory", 4096);
  expect_boot("its file 'memory' has 4096 bytes instead of 536870912");
  await_builders();
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kRestored));
}

// Checksums that are right of a guest that cannot go on: nothing but the restore itself can tell.
TEST_F(Templates, WhoseGuestDoesNotComeBackAreRemovedAndTheVmBoots) {
  const std::string name = take_template();
  configure("boot_timeout_ms = 9000", "directory = \"" + store() + "\"\n");
  const std::string memory = store() + "/" + name + "/memory";
  fs::resize_file(memory, 0);
  fs::resize_file(memory, 512 << 20);
  expect_boot("its VM could not be restored and boots");
  EXPECT_FALSE(fs::exists(store() + "/" + name));
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr("building it failed"));
  EXPECT_EQ(agentvm({"template", "create"}).status, 0);
}

TEST_F(Templates, ThatOthersMayWriteAreNotUsed) {
  take_template();
  use_store(false);
  ASSERT_EQ(::chmod(store().c_str(), 0777), 0);
  expect_boot("may be written by others (mode 0777): it is not trusted");
  ASSERT_EQ(::chmod(store().c_str(), 0700), 0);
  ASSERT_EQ(::chown(store().c_str(), 4711, 0), 0);
  expect_boot("belongs to uid 4711");
  const Outcome listed = agentvm({"template", "ls"});
  EXPECT_EQ(listed.status, 1);
  EXPECT_THAT(listed.err, HasSubstr("not trusted"));
  EXPECT_THAT(agentvm({"check"}).out, HasSubstr("every VM boots until that is mended"));
}

TEST_F(Templates, OfAnOlderKernelAreNotUsed) {
  const std::string kernel = scratch() + "/vmlinux";
  fs::copy_file(image_file("vmlinux"), kernel);
  configure("", "automatic = false\ndirectory = \"" + store() + "\"\n", kernel);
  make_template();
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kRestored));
  fs::copy_file(image_file("vmlinux"), kernel + ".new");
  fs::rename(kernel + ".new", kernel);
  expect_boot("");
}

// A full disk: the builder fails, says so to the next one, and leaves nothing.
TEST_F(Templates, ThatDoNotFitOnTheDiskAreNotMade) {
  fs::create_directory(store());
  ASSERT_EQ(::mount("small", store().c_str(), "tmpfs", 0, "size=4m,mode=0700"), 0);
  const Outcome made = agentvm({"template", "create"});
  EXPECT_EQ(made.status, 1);
  EXPECT_THAT(made.err, HasSubstr("No space left on device"));
  expect_boot("building it failed (`agentvm template create` tries again)");
  EXPECT_EQ(files().size(), 1U);  // the reason
  EXPECT_EQ(::umount(store().c_str()), 0);
}

TEST_F(Templates, OnAReadOnlyDiskAreUsedAndNoneAreMade) {
  const std::string name = take_template();
  ASSERT_EQ(::mount(store().c_str(), store().c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::mount(nullptr, store().c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr),
            0);
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kRestored));
  Bundle other(Bundle::shell("echo runs"));
  other.spec.linux_->resources->memory.emplace();
  other.spec.linux_->resources->memory->limit = 256 << 20;
  const Outcome outcome = run_timed(other);
  EXPECT_EQ(outcome.out, "runs\n");
  EXPECT_THAT(outcome.err, HasSubstr("Read-only file system"));
  EXPECT_EQ(::umount(store().c_str()), 0);
}

TEST_F(Templates, WhoseBuilderWasKilledAreBuiltByTheNext) {
  expect_boot("one is being built");
  const auto found = builders();
  for (const pid_t builder : found) ::kill(builder, SIGKILL);
  await_builders();
  // Nothing of it runs on; what lies in the store is cleared away by the next builder.
  EXPECT_TRUE(eventually([this] { return run_command({"pgrep", "-f", store()}).out.empty(); }));
  make_template();
  EXPECT_EQ(files().size(), 1U);
  EXPECT_THAT(run_timed(Bundle({"/bin/true"})).err, HasSubstr(kRestored));
}

TEST_F(Templates, TellTheirTimingsToTheLogWithAnAnnotation) {
  take_template();
  Bundle bundle({"/bin/true"});
  bundle.spec.annotations["io.agentvm.timings"] = "true";
  bundle.store();
  const std::string log = scratch() + "/log";
  const Outcome outcome = agentvm({"--log", log, "run", "--bundle", bundle.path(), "web"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(read_file(log), HasSubstr(kRestored));
}

TEST_F(Templates, CanBeTurnedOff) {
  configure("", "enabled = false\n");
  const Outcome outcome = run_timed(Bundle(Bundle::shell("cat /proc/cmdline")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("agentvm.template")));
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("QEMU answers"), Not(HasSubstr(kRestored))));
}

}  // namespace
}  // namespace agentvm::e2e
