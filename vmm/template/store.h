// Where templates lie on the host: one directory, and in it one for each template, with the files
// "memory" (sparse), "state" and "manifest.json". A template is code that runs as every container's
// kernel: a store, or a file in it, that somebody else could have written is refused.
//
// A template appears by a rename and is whole from then on. Beside the directory NAME there may be
// NAME.lock (held by who builds it), NAME.new (being built) and NAME.failed (why it could not be).
#pragma once

#include <chrono>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "oci/base/error.h"
#include "oci/base/unique_fd.h"
#include "vmm/template/key.h"
#include "vmm/template/manifest.h"

namespace agentvm::vmm {

// A template's files, opened: whoever removes it meanwhile does no harm.
struct OpenTemplate {
  TemplateManifest manifest;
  UniqueFd memory;
  UniqueFd state;
};

// One that is being built; the lock says that nobody else builds it.
struct TemplateDraft {
  std::string name;
  UniqueFd lock;
  UniqueFd directory;  // empty
};

struct TemplateEntry {
  std::string name;
  std::optional<TemplateManifest> manifest;  // nothing: damaged, or never finished
  std::string problem;                       // why not
  std::time_t last_used = 0;
};

class TemplateStore {
 public:
  // An absolute path. Makes the directory (0700) if it is missing. failed_precondition when
  // somebody else owns it or may write to it.
  [[nodiscard]] static Result<TemplateStore> open(const std::string& directory);
  [[nodiscard]] const std::string& path() const { return path_; }

  // not_found when there is none. failed_precondition, with what is wrong, for one that must not be
  // used: of another key, truncated, damaged, of another owner. The memory's checksum alone is left
  // to verify().
  [[nodiscard]] Result<OpenTemplate> find(const TemplateKey& key) const;
  // The same with all of the checks, for `agentvm template verify`.
  [[nodiscard]] Result<void> verify(const std::string& name) const;

  // Why building it failed within the last `age`; "" when it did not.
  [[nodiscard]] std::string recent_failure(const TemplateKey& key, std::chrono::seconds age) const;

  // Begins to build: what a killed builder left is removed first. already_exists while another
  // process builds it.
  [[nodiscard]] Result<TemplateDraft> begin(const TemplateKey& key) const;
  // Makes the draft the template, in the place of a damaged one too.
  [[nodiscard]] Result<void> publish(TemplateDraft draft, const TemplateManifest& manifest) const;
  // Removes the draft; with a reason, keeps that for recent_failure().
  void discard(TemplateDraft draft, const std::string& reason) const;

  [[nodiscard]] Result<std::vector<TemplateEntry>> list() const;  // the last used first
  // not_found when there is no such template.
  [[nodiscard]] Result<void> remove(const std::string& name) const;
  // Removes what is damaged or was never finished, and all but the `keep` last used. Returns the
  // names. What is being built stays.
  [[nodiscard]] Result<std::vector<std::string>> prune(std::size_t keep) const;

 private:
  TemplateStore(std::string path, UniqueFd directory)
      : path_(std::move(path)), directory_(std::move(directory)) {}
  [[nodiscard]] Result<OpenTemplate> open_template(const std::string& name) const;
  [[nodiscard]] Result<UniqueFd> lock(const std::string& name) const;

  std::string path_;
  UniqueFd directory_;
};

}  // namespace agentvm::vmm
