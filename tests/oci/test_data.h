// The documents under tests/oci/data.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "oci/base/sys.h"

namespace agentvm::oci {

inline std::string test_data(const std::string& name) {
  auto text = sys::read_file(std::string(AGENTVM_TEST_DATA) + "/" + name, 1 << 20);
  EXPECT_TRUE(text) << text.error().text();
  return text.value_or("");
}

}  // namespace agentvm::oci
