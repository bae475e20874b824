#include "runtime/pool/place.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "oci/base/sys.h"
#include "oci/base/text.h"
#include "oci/base/try.h"

namespace agentvm::runtime {

namespace {

constexpr const char* kKeyAnnotation = "io.agentvm.pool.key";
constexpr const char* kFailure = ".failed";
constexpr std::size_t kMaxReason = 4096;

}  // namespace

std::string recent_failure(const std::string& directory, std::chrono::seconds age) {
  const auto file = sys::open_at(AT_FDCWD, directory + "/" + kFailure, O_RDONLY | O_NOFOLLOW);
  struct stat status{};
  if (!file || ::fstat(file->get(), &status) != 0) return "";
  const std::time_t since = std::time(nullptr) - status.st_mtim.tv_sec;
  // One from the future is of a clock that was wrong.
  if (since < 0 || since >= age.count()) return "";
  return sys::read_all(file->get(), kMaxReason).value_or("");
}

void keep_failure(const std::string& directory, const std::string& reason) {
  const auto pool = sys::open_at(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  if (!pool) return;
  if (reason.empty()) {
    (void)::unlinkat(pool->get(), kFailure, 0);
    return;
  }
  (void)sys::replace_file_at(pool->get(), kFailure, reason.substr(0, kMaxReason), 0600);
}

Result<vmm::TemplateKey> make_pool_key(const vmm::MachineConfig& machine) {
  auto key = TRY(vmm::make_template_key(machine));
  key.text += TRY(vmm::describe_file("virtiofsd", machine.virtiofsd));
  key.text += TRY(vmm::describe_file("vsock backend", machine.vsock_backend));
  key.text += TRY(vmm::describe_file("agentvm", "/proc/self/exe"));
  key.text += machine.jail ? "confined\n" : "unconfined\n";
  return key;
}

Result<PoolPlace> make_place(const StateRoot& pool, const vmm::TemplateKey& key) {
  ContainerRecord record;
  record.id = key.name() + "-" + hexadecimal(sys::random_bytes(4));
  record.annotations[kKeyAnnotation] = key.text;
  record.created = make_timestamp();
  record.creator = TRY(refer_to_process(::getpid()));
  auto dir = TRY(pool.create(record), "make a place in the pool");
  return PoolPlace{std::move(dir), std::move(record)};
}

Result<std::vector<PoolPlace>> list_places(const StateRoot& pool) {
  std::vector<PoolPlace> places;
  for (const std::string& id : TRY(pool.list())) {
    auto dir = pool.open_container(id);
    if (!dir) continue;
    auto record = dir->load();
    if (record) places.push_back({*std::move(dir), *std::move(record)});
  }
  return places;
}

bool has_key(const ContainerRecord& record, const vmm::TemplateKey& key) {
  const auto found = record.annotations.find(kKeyAnnotation);
  return found != record.annotations.end() && found->second == key.text;
}

bool waits(const ContainerRecord& record) {
  return effective_status(record) == Status::created;
}

}  // namespace agentvm::runtime
