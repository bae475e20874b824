// A sandbox's certificate authority: the guest trusts it, and the gateway signs with it for the
// hosts whose TLS it opens.
#pragma once

#include <cstddef>
#include <ctime>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "egress/secret.h"
#include "egress/tls/openssl.h"
#include "oci/base/error.h"

namespace agentvm::egress {

struct AuthorityPem {
  std::string certificate;
  Secret key;
};

// A new authority, one for each sandbox, so that what leaves one sandbox is worth nothing in
// another. EC P-256: every client knows it, and a handshake signs with it in tens of microseconds
// (RSA 2048: a millisecond). Ten years: it outlives any sandbox, so that none stops working one
// day; its key lies beside that sandbox's policy, readable for root alone, and goes with it. It may
// sign servers only, no further authority.
[[nodiscard]] Result<AuthorityPem> make_authority(std::string_view sandbox);

// Signs for hosts on demand. The certificates are short-lived (a week, renewed halfway) and share
// one key that is made here and never leaves the process.
class Authority {
 public:
  static constexpr std::size_t kMaxCached = 256;

  // invalid_argument where the key is not the certificate's, or it is no authority's.
  [[nodiscard]] static Result<Authority> create(std::string_view certificate, std::string_view key);

  // For a host's name or an address as text. Borrowed: valid until the next call.
  [[nodiscard]] Result<X509*> certificate_for(const std::string& host);
  [[nodiscard]] EVP_PKEY* key() const { return leaf_key_.get(); }
  [[nodiscard]] std::size_t cached() const { return cache_.size(); }

 private:
  struct Leaf {
    std::string host;
    CertificatePtr certificate;
    std::time_t renew = 0;
  };

  Authority() = default;

  CertificatePtr certificate_;
  KeyPtr key_;
  KeyPtr leaf_key_;
  std::list<Leaf> leaves_;                                                 // the last used first
  std::unordered_map<std::string_view, std::list<Leaf>::iterator> cache_;  // keys: of leaves_
};

}  // namespace agentvm::egress
