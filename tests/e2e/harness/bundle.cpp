#include "tests/e2e/harness/bundle.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "oci/default_spec.h"
#include "oci/spec_writer.h"
#include "tests/e2e/harness/command.h"

namespace agentvm::e2e {

namespace fs = std::filesystem;

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (fs::temp_directory_path() / "agentvm-e2e.XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

namespace {

// busybox-static and its applets as symlinks: the smallest root in which a shell script runs.
void make_rootfs(const std::string& path) {
  for (const char* directory : {"bin", "etc", "proc", "sys", "dev", "tmp", "root", "usr/bin"}) {
    fs::create_directories(fs::path(path) / directory);
  }
  fs::permissions(fs::path(path) / "tmp", fs::perms::all | fs::perms::sticky_bit);
  fs::copy_file("/bin/busybox", path + "/bin/busybox");
  const Outcome applets = run_command({"/bin/busybox", "--list"});
  std::istringstream names(applets.out);
  for (std::string name; std::getline(names, name);) {
    if (name != "busybox") fs::create_symlink("busybox", path + "/bin/" + name);
  }
  write_file(path + "/etc/passwd",
             "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\n");
  write_file(path + "/etc/group", "root:x:0:\nagent:x:1000:\n");
}

}  // namespace

Bundle::Bundle(std::vector<std::string> args) : spec(oci::default_spec()) {
  make_rootfs(rootfs());
  spec.process->terminal = false;
  spec.process->args = std::move(args);
  spec.root->readonly = false;
  spec.hostname = "guest";
}

void Bundle::store() const {
  store_text(oci::write_spec(spec, 2));
}

void Bundle::store_text(const std::string& text) const {
  write_file(path() + "/config.json", text);
}

void Bundle::add_file(const std::string& file, const std::string& content, int mode) const {
  fs::create_directories(fs::path(rootfs() + "/" + file).parent_path());
  write_file(rootfs() + "/" + file, content, mode);
}

std::vector<std::string> Bundle::shell(const std::string& script) {
  return {"/bin/sh", "-c", script};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

void write_file(const std::string& path, const std::string& content, int mode) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  ::chmod(path.c_str(), static_cast<mode_t>(mode));
}

}  // namespace agentvm::e2e
