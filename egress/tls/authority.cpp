#include "egress/tls/authority.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <utility>

#include "egress/host.h"
#include "oci/base/sys.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

constexpr long kDay = 24L * 60 * 60;
constexpr long kAuthorityLife = 3650 * kDay;
constexpr long kLeafLife = 7 * kDay;
// Guests whose clock is behind: one that was restored, one that was suspended.
constexpr long kClockSkew = kDay;
constexpr std::size_t kMaxCommonName = 64;  // RFC 5280, appendix A.1

std::unexpected<Error> fail_signing() {
  return fail_openssl(ErrorKind::internal, "make a certificate");
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& text) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, OpensslFree<&::X509_EXTENSION_free>> extension(
      ::X509V3_EXT_conf_nid(nullptr, &context, nid, text.c_str()));
  return extension && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  std::string bytes = sys::random_bytes(16);
  bytes[0] = static_cast<char>((bytes[0] & 0x7f) | 0x40);  // positive, and always of 16 bytes
  const std::unique_ptr<BIGNUM, OpensslFree<&::BN_free>> number(
      ::BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()),
                  static_cast<int>(bytes.size()), nullptr));
  return number && ::BN_to_ASN1_INTEGER(number.get(), ::X509_get_serialNumber(certificate));
}

bool set_common_name(X509_NAME* name, std::string_view text) {
  return ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()), -1, 0) == 1;
}

// A certificate of version 3 with serial number, times and key; neither names nor signature yet.
CertificatePtr begin_certificate(EVP_PKEY* key, long life) {
  CertificatePtr certificate(::X509_new());
  if (!certificate || ::X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      !set_serial(certificate.get()) ||
      !::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), -kClockSkew) ||
      !::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), life) ||
      ::X509_set_pubkey(certificate.get(), key) != 1) {
    return nullptr;
  }
  return certificate;
}

bool add_authority_extensions(X509* certificate) {
  return add_extension(certificate, certificate, NID_basic_constraints,
                       "critical,CA:TRUE,pathlen:0") &&
         add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         add_extension(certificate, certificate, NID_ext_key_usage, "serverAuth") &&
         add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
}

bool add_leaf_extensions(X509* certificate, X509* issuer, const std::string& host, bool named) {
  // Without a subject the alternative name is critical (RFC 5280, 4.2.1.6).
  const std::string name =
      std::string(named ? "" : "critical,") + (parse_address(host) ? "IP:" : "DNS:") + host;
  return add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth") &&
         add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
         add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always") &&
         add_extension(certificate, issuer, NID_subject_alt_name, name);
}

BioPtr reading(std::string_view text) {
  return BioPtr(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string_view written(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

}  // namespace

std::unexpected<Error> fail_openssl(ErrorKind kind, std::string doing) {
  std::array<char, 256> text{};
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return fail(kind, std::move(doing));
  const char* reason = ::ERR_reason_error_string(code);
  if (!reason) {
    ::ERR_error_string_n(code, text.data(), text.size());
    reason = text.data();
  }
  return fail(kind, doing + ": " + reason);
}

Result<AuthorityPem> make_authority(std::string_view sandbox) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return fail_openssl(ErrorKind::internal, "make a key");
  const CertificatePtr certificate = begin_certificate(key.get(), kAuthorityLife);
  if (!certificate) return fail_signing();
  const std::string name = ("agentvm sandbox " + std::string(sandbox)).substr(0, kMaxCommonName);
  X509_NAME* subject = ::X509_get_subject_name(certificate.get());
  if (!set_common_name(subject, name) || ::X509_set_issuer_name(certificate.get(), subject) != 1 ||
      !add_authority_extensions(certificate.get()) ||
      ::X509_sign(certificate.get(), key.get(), ::EVP_sha256()) == 0) {
    return fail_signing();
  }
  const BioPtr public_part(::BIO_new(::BIO_s_mem()));
  const BioPtr private_part(::BIO_new(::BIO_s_secmem()));  // wiped when it is freed
  if (!public_part || !private_part ||
      ::PEM_write_bio_X509(public_part.get(), certificate.get()) != 1 ||
      ::PEM_write_bio_PrivateKey(private_part.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                 nullptr) != 1) {
    return fail_openssl(ErrorKind::internal, "write a certificate");
  }
  return AuthorityPem{std::string(written(public_part.get())), Secret(written(private_part.get()))};
}

Result<Authority> Authority::create(std::string_view certificate, std::string_view key) {
  Authority authority;
  const BioPtr public_part = reading(certificate);
  const BioPtr private_part = reading(key);
  authority.certificate_.reset(::PEM_read_bio_X509(public_part.get(), nullptr, nullptr, nullptr));
  if (!authority.certificate_) {
    return fail_openssl(ErrorKind::invalid_argument, "the authority's certificate");
  }
  // Without a callback an encrypted key would ask on the terminal.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  authority.key_.reset(
      ::PEM_read_bio_PrivateKey(private_part.get(), nullptr, +no_password, nullptr));
  if (!authority.key_) return fail_openssl(ErrorKind::invalid_argument, "the authority's key");
  if (::X509_check_private_key(authority.certificate_.get(), authority.key_.get()) != 1) {
    ::ERR_clear_error();
    return fail(ErrorKind::invalid_argument, "the authority's key is not its certificate's");
  }
  if (::X509_check_ca(authority.certificate_.get()) != 1) {
    return fail(ErrorKind::invalid_argument, "the authority's certificate is none of an authority");
  }
  authority.leaf_key_.reset(EVP_EC_gen("P-256"));
  if (!authority.leaf_key_) return fail_openssl(ErrorKind::internal, "make a key");
  return authority;
}

Result<X509*> Authority::certificate_for(const std::string& host) {
  const std::time_t now = std::time(nullptr);
  if (const auto found = cache_.find(host); found != cache_.end()) {
    const auto leaf = found->second;
    if (now < leaf->renew) {
      leaves_.splice(leaves_.begin(), leaves_, leaf);
      return leaf->certificate.get();
    }
    cache_.erase(found);
    leaves_.erase(leaf);
  }
  CertificatePtr certificate = begin_certificate(leaf_key_.get(), kLeafLife);
  const bool named = host.size() <= kMaxCommonName;
  if (!certificate ||
      ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(certificate_.get())) != 1 ||
      (named && !set_common_name(::X509_get_subject_name(certificate.get()), host)) ||
      !add_leaf_extensions(certificate.get(), certificate_.get(), host, named) ||
      ::X509_sign(certificate.get(), key_.get(), ::EVP_sha256()) == 0) {
    return fail_signing();
  }
  if (leaves_.size() == kMaxCached) {
    cache_.erase(leaves_.back().host);
    leaves_.pop_back();
  }
  leaves_.push_front({host, std::move(certificate), now + kLeafLife / 2});
  cache_.emplace(leaves_.front().host, leaves_.begin());
  return leaves_.front().certificate.get();
}

}  // namespace agentvm::egress
