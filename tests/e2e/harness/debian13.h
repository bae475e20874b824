// Programs of Debian 13, for tests that otherwise run with the host's.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/e2e/harness/command.h"

namespace agentvm::e2e {

// The path of `program` of `package`, unpacked with all that it needs; of another suite, if named.
inline std::string fetch_debian13(const std::string& program, const std::string& package,
                                  const std::string& suite = "trixie") {
  const Outcome fetched =
      run_command({AGENTVM_FETCH_DEBIAN13, AGENTVM_FETCHED, program, package, suite});
  EXPECT_EQ(fetched.status, 0) << fetched.err;
  return fetched.out.substr(0, fetched.out.find('\n'));
}

}  // namespace agentvm::e2e
