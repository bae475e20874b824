// What a sandbox's VM is shown of the host while members come and go: below its share, a directory
// of any name for each, on which the member's own share is mounted.
#pragma once

#include <string>
#include <string_view>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

// In the share, and so below kGuestShared in the guest.
inline constexpr const char* kMembersDirectory = "members";

class PodShare {
 public:
  // For the share that apply_share() put together at `shared_dir` in this mount namespace, before a
  // VM has it: what is mounted below later shows up where the VM's virtiofsd looks, whose mounts
  // are slaves of these.
  [[nodiscard]] static Result<PodShare> open(std::string shared_dir);

  // `tree`, a mount that is nowhere yet, as member `name`: make_share_name()'s form and never used
  // before, for the guest remembers names for a while.
  [[nodiscard]] Result<void> attach(std::string_view name, int tree) const;
  // Whatever of it is there.
  [[nodiscard]] Result<void> detach(std::string_view name) const;

 private:
  PodShare(std::string shared_dir, UniqueFd members)
      : shared_dir_(std::move(shared_dir)), members_(std::move(members)) {}
  [[nodiscard]] std::string path_of(std::string_view name) const;

  std::string shared_dir_;
  UniqueFd members_;  // the directory, on a mount of its own that is nowhere and not read-only
};

// Random: 32 lower case hex digits.
[[nodiscard]] std::string make_share_name();
[[nodiscard]] bool is_share_name(std::string_view name);

}  // namespace agentvm::runtime
