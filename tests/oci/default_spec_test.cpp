#include "oci/default_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "oci/base/sys.h"
#include "oci/spec_parser.h"
#include "oci/spec_writer.h"

namespace agentvm::oci {
namespace {

// What the installed runc's `spec` writes.
std::string runc_spec() {
  std::string dir = testing::TempDir() + "runc-spec-XXXXXX";
  if (::mkdtemp(dir.data()) == nullptr) return {};
  const int status = std::system(("runc spec --bundle " + dir).c_str());
  EXPECT_EQ(status, 0) << "runc is one of the packages that the tests need";
  auto text = sys::read_file(dir + "/config.json", 1 << 20);
  std::filesystem::remove_all(dir);
  return text.value_or("");
}

TEST(DefaultSpec, IsWhatRuncSpecWrites) {
  const auto theirs = parse_spec(runc_spec());
  ASSERT_TRUE(theirs) << theirs.error().text();
  Spec ours = default_spec();

  // Meant to differ: the version, the name, ambient capabilities (runc dropped them in 1.2) and the
  // cgroup namespace (runc adds it only where the host has cgroup v2 alone; the guest always has).
  ours.oci_version = theirs->oci_version;
  ours.hostname = theirs->hostname;
  ours.process->capabilities->ambient = theirs->process->capabilities->ambient;
  if (theirs->linux_->namespaces.size() == 5) {
    EXPECT_EQ(ours.linux_->namespaces.back().type, NamespaceType::cgroup);
    ours.linux_->namespaces.pop_back();
  }

  EXPECT_EQ(ours.process, theirs->process);
  EXPECT_EQ(ours.root, theirs->root);
  EXPECT_EQ(ours.mounts, theirs->mounts);
  EXPECT_EQ(ours.linux_->resources, theirs->linux_->resources);
  EXPECT_EQ(ours.linux_->namespaces, theirs->linux_->namespaces);
  EXPECT_EQ(ours.linux_->masked_paths, theirs->linux_->masked_paths);
  EXPECT_EQ(ours.linux_->readonly_paths, theirs->linux_->readonly_paths);
  EXPECT_EQ(ours, *theirs);
}

TEST(DefaultSpec, NeedsNoPrivilege) {
  const Spec spec = default_spec();
  EXPECT_TRUE(spec.process->no_new_privileges);
  EXPECT_TRUE(spec.root->readonly);
  EXPECT_TRUE(spec.process->capabilities->ambient.empty());
  EXPECT_THAT(spec.process->capabilities->bounding,
              testing::ElementsAre("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"));
}

}  // namespace
}  // namespace agentvm::oci
