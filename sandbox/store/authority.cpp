#include "sandbox/store/authority.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <memory>

#include "egress/tls/authority.h"
#include "oci/base/try.h"

namespace agentvm::sandbox {

Result<Authority> load_authority(const Place& place, const std::string& sandbox) {
  const std::string certificate_path = place.of(sandbox) + "/ca.pem";
  const std::string key_path = place.of(sandbox) + "/ca.key";
  auto certificate = load_file(certificate_path);
  auto key = load_file(key_path);
  if (certificate && key) return Authority{*std::move(certificate), *std::move(key)};
  for (const auto* part : {&certificate, &key}) {
    if (!*part && part->error().errnum != ENOENT) return std::unexpected(part->error());
  }
  const auto made = TRY(egress::make_authority(sandbox), "make the sandbox's authority");
  TRY(store_file(key_path, made.key.reveal(), 0600));
  TRY(store_file(certificate_path, made.certificate, 0644));
  return Authority{made.certificate, std::string(made.key.reveal())};
}

Result<std::string> subject_hash(const std::string& certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bytes(
      BIO_new_mem_buf(certificate.data(), static_cast<int>(certificate.size())), BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> parsed(
      bytes ? PEM_read_bio_X509(bytes.get(), nullptr, nullptr, nullptr) : nullptr, X509_free);
  if (!parsed) return fail(ErrorKind::internal, "the sandbox's certificate cannot be read");
  return fmt::format("{:08x}", X509_subject_name_hash(parsed.get()));
}

}  // namespace agentvm::sandbox
