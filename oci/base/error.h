// Errors as values. An Error says what a caller can act on (kind), what the kernel said (errnum)
// and a sentence that reads from outside in: "create container 'web': mount '/proc'". The text of
// errnum is appended once, at the end, by text().
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace agentvm {

enum class ErrorKind : std::uint8_t {
  invalid_argument,     // the request itself is wrong: a flag, a config.json, a rule
  not_found,            // the named thing does not exist
  already_exists,       // the name is taken
  failed_precondition,  // the thing is in a state that does not allow this
  unavailable,          // a part outside of us (QEMU, kernel, agent) is missing or did not answer
  internal,             // our own mistake, or a system call that must not fail
};

struct Error {
  ErrorKind kind = ErrorKind::internal;
  int errnum = 0;
  std::string message;

  // The whole sentence, the text of errnum last.
  [[nodiscard]] std::string text() const;
  // The same error, one frame further out: "<context>: <message>".
  [[nodiscard]] Error wrap(std::string_view context) &&;
  // Appends a failed clean-up: "<message> (also: <other>)". The first failure stays the error.
  [[nodiscard]] Error also(const Error& other) &&;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;

// "invalid_argument", … : the word used in logs.
[[nodiscard]] std::string_view name_of(ErrorKind kind);

// The kind that an errno of a system call stands for (ENOENT is not_found, EEXIST already_exists,
// EINVAL invalid_argument, EBUSY failed_precondition; others internal).
[[nodiscard]] ErrorKind kind_of_errno(int errnum);

// An error without errno.
[[nodiscard]] std::unexpected<Error> fail(ErrorKind kind, std::string message);
// An error from a system call; kind from kind_of_errno.
[[nodiscard]] std::unexpected<Error> fail_errno(int errnum, std::string message);

}  // namespace agentvm
