#include "oci/base/async.h"

#include <utility>

namespace agentvm {

std::unexpected<Error> fail_asio(const boost::system::error_code& code, std::string doing) {
  if (code.category() == boost::system::system_category()) {
    return fail_errno(code.value(), std::move(doing));
  }
  return fail(ErrorKind::unavailable, std::move(doing) + ": " + code.message());
}

}  // namespace agentvm
