// A sandbox's certificate authority on the host: made once, kept with the sandbox, also over reset.
#pragma once

#include <string>

#include "oci/base/error.h"
#include "sandbox/store/gateway_file.h"
#include "sandbox/store/place.h"

namespace agentvm::sandbox {

// From ca.pem and ca.key of the sandbox's directory, which are made where they are missing.
[[nodiscard]] Result<Authority> load_authority(const Place& place, const std::string& sandbox);

// The name under which OpenSSL looks for the certificate in a directory (openssl-rehash(1)),
// without ".0".
[[nodiscard]] Result<std::string> subject_hash(const std::string& certificate);

}  // namespace agentvm::sandbox
