// Where a gateway writes its decisions. It belongs to the gateway's uid, which is another one at
// each start, so what is in it is given to the new one.
#pragma once

#include <sys/types.h>

#include <string>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"

namespace agentvm::runtime {

// `<sandbox_directory>/log`, made where it is missing, for `owner` (uid and gid alike) and root
// alone. Nothing that a gateway could have put there is believed: regular files of one name change
// hands, the rest is left as it is.
[[nodiscard]] Result<UniqueFd> take_log_directory(const std::string& sandbox_directory,
                                                  uid_t owner);

}  // namespace agentvm::runtime
