#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "oci/base/rollback.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"
#include "sandbox/cli/session_verbs.h"
#include "sandbox/cli/verbs.h"
#include "sandbox/store/program.h"

namespace agentvm::sandbox {

namespace {

namespace fs = std::filesystem;

struct CopyOptions {
  std::string from;
  std::string to;
};

// "NAME:/path"; nothing for a path of the host.
struct Inside {
  std::string sandbox;
  std::string path;
};
std::optional<Inside> parse_inside(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || text.starts_with('/') || text.starts_with('.')) {
    return std::nullopt;
  }
  return Inside{text.substr(0, colon), text.substr(colon + 1)};
}

// A file without a name, for an archive on its way.
Result<UniqueFd> open_spool() {
  return TRY(sys::open_at(AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR, 0600), "a temporary file in /tmp");
}

Result<void> run_tar(const std::vector<std::string>& argv, int input, int output) {
  const int status = TRY(run_in_foreground(argv, input, output));
  if (status == 0) return {};
  return fail(ErrorKind::unavailable, fmt::format("tar failed (status {})", status));
}

// The archive comes from the guest. tar makes no file outside of the directory, whatever it holds:
// absolute names and ".." are refused, links that lead out are made last.
Result<void> unpack(int archive, const std::string& directory) {
  ::lseek(archive, 0, SEEK_SET);
  return run_tar(
      {"tar", "--extract", "--no-same-owner", "--no-same-permissions", "--directory", directory},
      archive, -1);
}

// Unpacked aside and renamed: what is there stays unless all of it came.
Result<void> unpack_as(int archive, const fs::path& target, const std::string& entry) {
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  std::string aside = (parent / ".agentvm-cp-XXXXXX").string();
  if (::mkdtemp(aside.data()) == nullptr) {
    return fail_errno(errno, fmt::format("make a directory in '{}'", parent.string()));
  }
  Rollback undo;
  undo.push([&] {
    std::error_code ignored;
    fs::remove_all(aside, ignored);
  });
  TRY(unpack(archive, aside));
  if (::rename((aside + "/" + entry).c_str(), target.c_str()) != 0) {
    return fail_errno(errno, fmt::format("rename to '{}'", target.string()));
  }
  return {};
}

Result<void> copy_out(const Docker& docker, const Record& record, const std::string& path,
                      const std::string& to) {
  if (to == "-") {
    Result<void> written;
    TRY(docker.copy_out(record.container, path, [&](std::string_view bytes) {
      written = sys::write_all(STDOUT_FILENO, bytes);
      return written.has_value();
    }));
    return written;
  }
  const UniqueFd spool = TRY(open_spool());
  Result<void> kept;
  TRY(docker.copy_out(record.container, path, [&](std::string_view bytes) {
    kept = sys::write_all(spool.get(), bytes);
    return kept.has_value();
  }));
  TRY(std::move(kept));
  std::error_code code;
  if (fs::is_directory(to, code)) return unpack(spool.get(), to);
  std::string entry = fs::path(path).filename().string();
  if (entry.empty()) entry = fs::path(path).parent_path().filename().string();
  if (entry.empty() || entry == "." || entry == "..") {
    return fail(ErrorKind::invalid_argument,
                fmt::format("'{}' has no name of its own: copy it into a directory", path));
  }
  return unpack_as(spool.get(), to, entry);
}

// For tar's --transform: a name as it is, in a basic regular expression, with '|' around.
std::string escaped(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (std::string_view("\\.*[]^$|&").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

Result<UniqueFd> pack(const fs::path& source, const std::string& name, const Record& record) {
  struct stat owner{};
  if (record.workspaces.empty() || ::stat(record.workspaces.front().path.c_str(), &owner) != 0) {
    owner.st_uid = 1000;  // the images' agent
    owner.st_gid = 1000;
  }
  UniqueFd spool = TRY(open_spool());
  const std::string entry = source.filename().string();
  TRY(run_tar({"tar", "--create", "--numeric-owner", fmt::format("--owner={}", owner.st_uid),
               fmt::format("--group={}", owner.st_gid),
               fmt::format("--transform=flags=rSH;s|^{}|{}|", escaped(entry), escaped(name)),
               "--directory", source.parent_path().string(), "--", entry},
              -1, spool.get()));
  return spool;
}

Result<void> copy_in(const Docker& docker, const Record& record, const std::string& from,
                     const std::string& to) {
  if (from == "-") {
    const UniqueFd spool = TRY(open_spool());
    std::array<char, 65'536> bytes;
    for (ssize_t got = 0; (got = ::read(STDIN_FILENO, bytes.data(), bytes.size())) > 0;) {
      TRY(sys::write_all(spool.get(), {bytes.data(), static_cast<std::size_t>(got)}));
    }
    return docker.copy_in(record.container, to, spool.get());
  }
  std::error_code code;
  const fs::path source = fs::canonical(from, code);
  if (code) return fail_errno(code.value(), fmt::format("'{}'", from));
  // Into the directory of that name when there is one, else as that name.
  const UniqueFd archive = TRY(pack(source, source.filename().string(), record));
  auto into = docker.copy_in(record.container, to, archive.get());
  if (into || to.ends_with('/')) return into;
  const fs::path target(to);
  const UniqueFd renamed = TRY(pack(source, target.filename().string(), record));
  const std::string parent = target.has_parent_path() ? target.parent_path().string() : "/";
  return docker.copy_in(record.container, parent, renamed.get());
}

Result<int> run_copy(const World& world, const CopyOptions& options) {
  const auto from = parse_inside(options.from);
  const auto to = parse_inside(options.to);
  if (from.has_value() == to.has_value()) {
    return fail(ErrorKind::invalid_argument,
                "one of both is in a sandbox (NAME:/path), the other is not");
  }
  const Docker docker = TRY(connect_docker(world));
  const Record record = TRY(load_record(world.place, from ? from->sandbox : to->sandbox));
  (void)TRY(container_of(docker, record));
  if (from) {
    TRY(copy_out(docker, record, from->path, options.to), "copy '{}'", options.from);
  } else {
    TRY(copy_in(docker, record, options.from, to->path), "copy '{}'", options.from);
  }
  return 0;
}

}  // namespace

void add_copy_verb(const Verbs& verbs) {
  auto [copy, o] = add_verb<CopyOptions>(
      verbs, "cp", "copy files between this host and a sandbox, running or not", run_copy);
  copy->add_option("FROM", o->from, "a path, NAME:/path, or - for an archive from standard input")
      ->required();
  copy->add_option("TO", o->to, "a path, NAME:/path, or - for an archive to standard output")
      ->required();
}

}  // namespace agentvm::sandbox
