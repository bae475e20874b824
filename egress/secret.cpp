#include "egress/secret.h"

#include <openssl/evp.h>

#include <string>

namespace agentvm::egress {

Secret basic_authorization(std::string_view user_and_password) {
  constexpr std::string_view kScheme = "Basic ";
  std::string text(kScheme);
  text.resize(kScheme.size() + 4 * ((user_and_password.size() + 2) / 3) + 1);
  // It ends with a NUL.
  const int size =
      ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data() + kScheme.size()),
                        reinterpret_cast<const unsigned char*>(user_and_password.data()),
                        static_cast<int>(user_and_password.size()));
  Secret secret(std::string_view(text).substr(0, kScheme.size() + static_cast<std::size_t>(size)));
  ::explicit_bzero(text.data(), text.size());
  return secret;
}

}  // namespace agentvm::egress
