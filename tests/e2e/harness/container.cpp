#include "tests/e2e/harness/container.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/base/json_reader.h"
#include "oci/state.h"

namespace agentvm::e2e {

namespace fs = std::filesystem;

namespace {

// AGENTVM_TEST_TEMPLATES=off: every VM boots.
bool with_templates() {
  const char* word = ::getenv("AGENTVM_TEST_TEMPLATES");
  return word == nullptr || std::string_view(word) != "off";
}

// AGENTVM_TEST_POOL=on: VMs come from a pool, which is full when a test begins.
bool with_pool() {
  const char* word = ::getenv("AGENTVM_TEST_POOL");
  return word != nullptr && std::string_view(word) == "on";
}

std::string image_dir() {
  const char* named = ::getenv("AGENTVM_TEST_IMAGE");
  return named != nullptr ? named : AGENTVM_IMAGE_DIR;
}

}  // namespace

void Agentvm::SetUp() {
  ASSERT_EQ(::geteuid(), 0U) << "these tests boot VMs as root";
  ASSERT_TRUE(fs::exists(image_file("vmlinux")))
      << "no guest image: cmake --build <build directory> --target guest-image";
  scratch_ = std::make_unique<TemporaryDirectory>();
  configure("");
  if (with_templates()) {
    const Outcome made = agentvm({"template", "create"});
    ASSERT_EQ(made.status, 0) << made.err;
  }
  before_ = take_census();
  if (with_pool()) {
    const Outcome filled = agentvm({"pool", "fill"});
    ASSERT_EQ(filled.status, 0) << filled.err;
  }
}

void Agentvm::TearDown() {
  if (!scratch_) return;
  std::istringstream ids(agentvm({"list", "--quiet"}).out);
  for (std::string id; std::getline(ids, id);) (void)agentvm({"delete", "--force", id});
  if (fs::exists(pool())) drain_pool();
  EXPECT_THAT(left_behind(before_), testing::IsEmpty()) << "left behind on the host";
}

bool Agentvm::pool_is_being_filled() const {
  return fs::exists(pool() + "/.fill") &&
         run_command({"flock", "--nonblock", pool() + "/.fill", "true"}).status != 0;
}

void Agentvm::drain_pool() const {
  EXPECT_TRUE(eventually([this] { return !pool_is_being_filled(); }, std::chrono::seconds(60)));
  const Outcome drained = agentvm({"pool", "drain"});
  EXPECT_EQ(drained.status, 0) << drained.err;
  for (const auto& entry : fs::directory_iterator(pool())) {
    EXPECT_FALSE(entry.is_directory()) << "left in the pool: " << entry.path();
  }
}

std::string Agentvm::shared_store() {
  return AGENTVM_TEMPLATES;
}

std::string Agentvm::image_file(const std::string& name) {
  return image_dir() + "/" + name;
}

void Agentvm::configure(const std::string& vm, const std::string& templates,
                        const std::string& kernel, int pool_vms) const {
  const int pool_size = pool_vms >= 0 ? pool_vms : static_cast<int>(with_pool());
  const std::string shared = fmt::format("enabled = {}\nautomatic = false\ndirectory = \"{}\"\n",
                                         with_templates(), AGENTVM_TEMPLATES);
  write_file(
      scratch() + "/config.toml",
      fmt::format("[templates]\n{}\n"
                  "[pool]\n"
                  "size = {}\n"
                  "directory = \"{}\"\n"
                  "[disk]\n"
                  "directory = \"{}\"\n"
                  "[sandbox]\n"
                  "directory = \"{}\"\n"
                  "run_directory = \"{}-run\"\n"
                  "[vm]\n"
                  "kernel = \"{}\"\n"
                  "initramfs = \"{}\"\n"
                  "vsock_backend = \"{}\"\n"
                  "gateway = \"{}\"\n{}\n",
                  templates.empty() ? shared : templates, pool_size, pool(), disks(), sandboxes(),
                  sandboxes(), kernel.empty() ? image_file("vmlinux") : kernel,
                  image_file("initramfs.cpio"), AGENTVM_VSOCK_BINARY, AGENTVM_GATEWAY_BINARY, vm));
}

std::string Agentvm::guest_kernel_release() {
  return read_file(image_file("kernel-release"));
}

std::string Agentvm::shim_binary() {
  return AGENTVM_SHIM_BINARY;
}

std::vector<std::string> Agentvm::command(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{AGENTVM_BINARY, "--root", root(), "--config",
                                scratch() + "/config.toml"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Outcome Agentvm::agentvm(const std::vector<std::string>& arguments,
                         const CommandOptions& options) const {
  return run_command(command(arguments), options);
}

Outcome Agentvm::run(const Bundle& bundle, const CommandOptions& options) const {
  bundle.store();
  return agentvm({"run", "--bundle", bundle.path(), "web"}, options);
}

Outcome Agentvm::run_timed(const Bundle& bundle, const std::string& id) const {
  bundle.store();
  return agentvm({"run", "--timings", "--bundle", bundle.path(), id});
}

void Agentvm::create(const std::string& id, const Bundle& bundle) const {
  bundle.store();
  const Outcome created = agentvm({"create", "--bundle", bundle.path(), id});
  ASSERT_EQ(created.status, 0) << created.err;
}

void Agentvm::start(const std::string& id) const {
  const Outcome started = agentvm({"start", id});
  ASSERT_EQ(started.status, 0) << started.err;
}

std::string Agentvm::status(const std::string& id) const {
  const Outcome printed = agentvm({"state", id});
  if (printed.status != 0) return printed.err;
  const auto state = oci::parse_state(printed.out);
  return state ? std::string(oci::name_of(state->status)) : state.error().text();
}

pid_t Agentvm::stand_in(const std::string& id) const {
  const auto state = oci::parse_state(agentvm({"state", id}).out);
  return state && state->pid > 0 ? state->pid : kNobody;
}

void Agentvm::wait_for_status(const std::string& id, const std::string& wanted) const {
  EXPECT_TRUE(eventually([&] { return status(id) == wanted; }))
      << "container '" << id << "' is " << status(id) << ", not " << wanted;
}

std::vector<Agentvm::PoolVm> Agentvm::pool_vms() const {
  std::vector<PoolVm> vms;
  if (!fs::exists(pool())) return vms;
  const auto document = JsonDocument::parse(agentvm({"pool", "ls", "--format", "json"}).out);
  for (std::size_t i = 0; document && i < document->root().size(); ++i) {
    const auto item = document->root().item(i);
    vms.push_back({std::string(*item.find("id")->as_string()),
                   std::string(*item.find("status")->as_string()),
                   std::string(*item.find("container")->as_string()),
                   static_cast<pid_t>(*item.find("pid")->as_unsigned())});
  }
  return vms;
}

std::vector<pid_t> Agentvm::processes_of(const std::string& id, const std::string& name) const {
  // The parts of a VM are children of the stand-in or of the VM's holder, virtiofsd's own child one
  // step further.
  std::vector<pid_t> family{stand_in(id)};
  for (const PoolVm& vm : pool_vms()) {
    if (vm.container == root() + "/" + id) family.push_back(vm.holder);
  }
  std::vector<pid_t> found;
  for (std::size_t at = 0; at < family.size(); ++at) {
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", family[at]));
    for (pid_t child = 0; children >> child;) {
      family.push_back(child);
      if (read_file(fmt::format("/proc/{}/comm", child)).starts_with(name)) found.push_back(child);
    }
  }
  return found;
}

}  // namespace agentvm::e2e
