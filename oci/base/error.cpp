#include "oci/base/error.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace agentvm {

std::string Error::text() const {
  if (errnum == 0) return message;
  // strerror is not thread-safe in theory; every agentvm process has one thread that reports.
  const char* reason = ::strerror(errnum);
  return message.empty() ? std::string(reason) : message + ": " + reason;
}

Error Error::wrap(std::string_view context) && {
  std::string outer(context);
  if (!message.empty()) outer.append(": ").append(message);
  message = std::move(outer);
  return std::move(*this);
}

Error Error::also(const Error& other) && {
  if (errnum != 0) {
    message = text();
    errnum = 0;
  }
  message.append(" (also: ").append(other.text()).append(")");
  return std::move(*this);
}

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid_argument:
      return "invalid_argument";
    case ErrorKind::not_found:
      return "not_found";
    case ErrorKind::already_exists:
      return "already_exists";
    case ErrorKind::failed_precondition:
      return "failed_precondition";
    case ErrorKind::unavailable:
      return "unavailable";
    case ErrorKind::internal:
      return "internal";
  }
  return "internal";
}

ErrorKind kind_of_errno(int errnum) {
  switch (errnum) {
    case ENOENT:
    case ESRCH:
      return ErrorKind::not_found;
    case EEXIST:
      return ErrorKind::already_exists;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case ELOOP:
      return ErrorKind::invalid_argument;
    case EBUSY:
      return ErrorKind::failed_precondition;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
      return ErrorKind::unavailable;
    default:
      return ErrorKind::internal;
  }
}

std::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, 0, std::move(message)});
}

std::unexpected<Error> fail_errno(int errnum, std::string message) {
  return std::unexpected(Error{kind_of_errno(errnum), errnum, std::move(message)});
}

}  // namespace agentvm
