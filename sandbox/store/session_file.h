// What the guest finds in /run/agentvm-sandbox, made new before every start: the shell script that
// enter.sh reads, and the text that tells the agent where it is. Pure; no secret is in either.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/catalog/catalog.h"
#include "sandbox/store/gateway_file.h"
#include "sandbox/store/record.h"

namespace agentvm::sandbox {

// One word of a shell, whatever is in it.
[[nodiscard]] std::string shell_quoted(std::string_view text);

struct SessionFacts {
  uid_t uid = 0;  // who owns the workspace
  gid_t gid = 0;
  std::string ca_hash;  // as OpenSSL names certificates in a directory; "" without one
};

[[nodiscard]] std::string session_script(const Record& record, const Agent& agent,
                                         const std::vector<Credential>& credentials,
                                         const SessionFacts& facts);

// Markdown.
[[nodiscard]] std::string notice_text(const Record& record, bool allows,
                                      const std::vector<RuleLayer>& layers,
                                      const std::vector<Credential>& credentials);

}  // namespace agentvm::sandbox
