// OpenSSL's objects as owners, its errors as Errors.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "oci/base/error.h"

namespace agentvm::egress {

template <auto kFree>
struct OpensslFree {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

using BioPtr = std::unique_ptr<BIO, OpensslFree<&::BIO_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<&::EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, OpensslFree<&::X509_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, OpensslFree<&::SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, OpensslFree<&::SSL_free>>;
using SslSessionPtr = std::unique_ptr<SSL_SESSION, OpensslFree<&::SSL_SESSION_free>>;

// "<doing>: <the first error that OpenSSL keeps>"; its others are forgotten.
[[nodiscard]] std::unexpected<Error> fail_openssl(ErrorKind kind, std::string doing);

}  // namespace agentvm::egress
