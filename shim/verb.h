// The runtime's verbs fork, block and want to be alone in their process. Each is run in one of its
// own: this program again, with the action `verb`, dying with the shim. The request travels in a
// memory file (fd 4), the answer over a socket (fd 3); fds 0, 1 and 2 are the container's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oci/base/async.h"
#include "oci/base/json_fields.h"
#include "shim/reaper.h"
#include "shim/rootfs.h"

namespace agentvm::shim {

enum class Verb : std::uint8_t { create, start, exec, pause, resume, update, remove };

[[nodiscard]] std::span<const JsonWord<Verb>> json_words(Verb);
[[nodiscard]] std::string_view name_of(Verb verb);

struct VerbRequest {
  Verb verb = Verb::create;
  std::string root;         // the runtime's
  std::string config_path;  // empty: the default file, if there is one
  bool systemd_cgroup = false;
  std::string id;
  std::string bundle;               // absolute; its log.json is the verb's log
  std::vector<RootfsMount> rootfs;  // create mounts them, remove unmounts what is there
  std::string console_socket;       // create, exec: "" without a terminal
  std::string document;             // exec: process, update: resources, as JSON
  friend bool operator==(const VerbRequest&, const VerbRequest&) = default;
};

[[nodiscard]] std::string write_verb_request(const VerbRequest& request);
[[nodiscard]] Result<VerbRequest> parse_verb_request(std::string_view json);

// Borrowed; -1 is /dev/null.
struct VerbStdio {
  int in = -1;
  int out = -1;
  int err = -1;
};

// Runs it to its end: the pid of the stand-in for create and exec, else 0. Errors are the verb's
// own.
[[nodiscard]] Task<pid_t> run_verb(Reaper& reaper, const VerbRequest& request,
                                   VerbStdio stdio = {});

// The process of one verb. Its exit status.
int verb_main();

}  // namespace agentvm::shim
