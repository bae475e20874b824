#include "egress/tls/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include "egress/tls/opener.h"

namespace agentvm::egress {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

CertificatePtr read_certificate(std::string_view pem) {
  const BioPtr bio(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return CertificatePtr(::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

// X509_V_OK, or why a client that trusts `authority` does not believe in `leaf`.
std::string verify(X509* authority, X509* leaf, const std::string& host) {
  const std::unique_ptr<X509_STORE, OpensslFree<&::X509_STORE_free>> store(::X509_STORE_new());
  ::X509_STORE_add_cert(store.get(), authority);
  const std::unique_ptr<X509_STORE_CTX, OpensslFree<&::X509_STORE_CTX_free>> context(
      ::X509_STORE_CTX_new());
  ::X509_STORE_CTX_init(context.get(), store.get(), leaf, nullptr);
  ::X509_STORE_CTX_set_default(context.get(), "ssl_server");
  X509_VERIFY_PARAM* const wanted = ::X509_STORE_CTX_get0_param(context.get());
  ::X509_VERIFY_PARAM_set_flags(wanted, X509_V_FLAG_X509_STRICT);
  if (::X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) != 1) {
    ::X509_VERIFY_PARAM_set1_host(wanted, host.c_str(), host.size());
  }
  ::X509_verify_cert(context.get());
  return ::X509_verify_cert_error_string(::X509_STORE_CTX_get_error(context.get()));
}

TEST(Authority, SignsForNamesAndAddressesWhatClientsBelieve) {
  const AuthorityPem made = make_authority("web").value();
  EXPECT_THAT(made.certificate, StartsWith("-----BEGIN CERTIFICATE-----"));
  EXPECT_THAT(std::string(made.key.reveal()), StartsWith("-----BEGIN PRIVATE KEY-----"));
  Authority authority = Authority::create(made.certificate, made.key.reveal()).value();
  const CertificatePtr root = read_certificate(made.certificate);
  const std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + ".example";
  for (const std::string& host : {std::string("api.example.com"), std::string("93.184.216.34"),
                                  std::string("2001:db8::1"), longest}) {
    X509* const leaf = authority.certificate_for(host).value();
    EXPECT_EQ(verify(root.get(), leaf, host), "ok") << host;
    EXPECT_EQ(::X509_check_private_key(leaf, authority.key()), 1);
    EXPECT_NE(verify(root.get(), leaf, "other.example"), "ok") << host;
  }
  const AuthorityPem other = make_authority("web").value();
  EXPECT_NE(verify(read_certificate(other.certificate).get(),
                   authority.certificate_for("api.example.com").value(), "api.example.com"),
            "ok");
}

TEST(Authority, KeepsTheCertificatesThatWereUsedLast) {
  const AuthorityPem made = make_authority("web").value();
  Authority authority = Authority::create(made.certificate, made.key.reveal()).value();
  X509* const first = authority.certificate_for("first.test").value();
  EXPECT_EQ(authority.certificate_for("first.test").value(), first);
  for (std::size_t i = 0; i < 2 * Authority::kMaxCached; ++i) {
    ASSERT_TRUE(authority.certificate_for("host" + std::to_string(i) + ".test"));
    ASSERT_EQ(authority.certificate_for("first.test").value(), first);
  }
  EXPECT_EQ(authority.cached(), Authority::kMaxCached);
}

TEST(Authority, SaysWhatIsWrongWithIt) {
  const AuthorityPem one = make_authority("one").value();
  const AuthorityPem two = make_authority("two").value();
  const auto error = [](std::string_view certificate, std::string_view key) {
    return Authority::create(certificate, key).error().text();
  };
  EXPECT_EQ(error(one.certificate, two.key.reveal()),
            "the authority's key is not its certificate's");
  EXPECT_THAT(error("", one.key.reveal()), HasSubstr("the authority's certificate"));
  EXPECT_THAT(error(one.certificate, "x"), HasSubstr("the authority's key"));
  EXPECT_THAT(TlsOpener::create(one.certificate, one.key.reveal(),
                                "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
                  .error()
                  .text(),
              HasSubstr("the trusted certificates"));
}

}  // namespace
}  // namespace agentvm::egress
