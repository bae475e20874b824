#include "guest-agent/launch/lookup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace agentvm::guest {

namespace {

struct Refusal {
  int errnum = 0;  // 0: it can be executed
  bool stat = false;
};

Refusal check_program(const std::string& file) {
  struct stat st{};
  if (::stat(file.c_str(), &st) != 0) return {errno, true};
  // runc 1.1 calls a directory this too; later ones say EISDIR. Docker exits with 126 for both.
  if (S_ISDIR(st.st_mode)) return {EACCES, false};
  if (::faccessat(AT_FDCWD, file.c_str(), X_OK, AT_EACCESS) == 0) return {};
  // A seccomp filter may answer with EPERM for a call it does not know (faccessat2).
  if (errno != ENOSYS && errno != EPERM) return {errno, false};
  return {(st.st_mode & 0111) != 0 ? 0 : EACCES, false};
}

std::unexpected<Error> fail_lookup(ErrorKind kind, std::string_view name, std::string_view why) {
  return fail(kind, fmt::format("exec: {}: {}", quoted(name), why));
}

}  // namespace

Result<std::string> find_program(const std::string& name, std::string_view path) {
  if (name.find('/') != name.npos) {
    const Refusal refusal = check_program(name);
    if (refusal.errnum == 0) return name;
    const std::string reason = reason_of(refusal.errnum);
    return fail_lookup(kind_of_errno(refusal.errnum), name,
                       refusal.stat ? fmt::format("stat {}: {}", name, reason) : reason);
  }
  for (std::size_t at = 0; !name.empty() && at <= path.size();) {
    const std::size_t colon = std::min(path.find(':', at), path.size());
    const std::string_view directory = path.substr(at, colon - at);
    at = colon + 1;
    const std::string file = fmt::format("{}/{}", directory.empty() ? "." : directory, name);
    if (check_program(file).errnum != 0) continue;
    if (file.starts_with('/')) return file;
    return fail_lookup(ErrorKind::invalid_argument, name,
                       "cannot run executable found relative to current directory");
  }
  return fail_lookup(ErrorKind::not_found, name, "executable file not found in $PATH");
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string reason_of(int errnum) {
  std::string text = ::strerror(errnum);
  // "Input/output error" is lower case in Go as well; only the first letter differs.
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') {
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  }
  return text;
}

}  // namespace agentvm::guest
