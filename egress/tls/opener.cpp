#include "egress/tls/opener.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <utility>

#include "egress/host.h"
#include "oci/base/try.h"

namespace agentvm::egress {

namespace {

// Slots of an SSL for what its callbacks need.
int opener_slot() {
  static const int kSlot = ::SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return kSlot;
}

void free_text(void* /*parent*/, void* text, CRYPTO_EX_DATA* /*data*/, int /*slot*/,
               long /*number*/, void* /*pointer*/) {
  delete static_cast<std::string*>(text);
}

// A std::string of the SSL's own: server: the protocol to choose; client: the host.
int text_slot() {
  static const int kSlot = ::SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, free_text);
  return kSlot;
}

bool set_text(SSL* ssl, const std::string& text) {
  auto owned = std::make_unique<std::string>(text);
  if (::SSL_set_ex_data(ssl, text_slot(), owned.get()) != 1) return false;
  (void)owned.release();
  return true;
}

const std::string& text_of(const SSL* ssl) {
  static const std::string kNone;
  const auto* text = static_cast<const std::string*>(::SSL_get_ex_data(ssl, text_slot()));
  return text ? *text : kNone;
}

int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned size, void* /*opener*/) {
  const std::string& wanted = text_of(ssl);
  for (unsigned at = 0; at + 1 + offered[at] <= size; at += 1U + offered[at]) {
    const std::string_view name(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (name != wanted) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return wanted.empty() ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

SslContextPtr make_context(const SSL_METHOD* method) {
  SslContextPtr context(::SSL_CTX_new(method));
  if (!context || ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1) {
    return nullptr;
  }
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

// Adds what the PEM text holds to those who are trusted.
Result<void> trust(X509_STORE* store, std::string_view text) {
  const BioPtr bio(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  for (;;) {
    const CertificatePtr certificate(::PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    if (::X509_STORE_add_cert(store, certificate.get()) != 1) {
      return fail_openssl(ErrorKind::invalid_argument, "the trusted certificates");
    }
  }
  const unsigned long code = ::ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (!at_end) return fail_openssl(ErrorKind::invalid_argument, "the trusted certificates");
  ::ERR_clear_error();
  return {};
}

std::string wire_form(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols) {
    wire += static_cast<char>(protocol.size());
    wire += protocol;
  }
  return wire;
}

// The certificate has to be this host's.
bool expect_host(SSL* ssl, const std::string& host) {
  if (parse_address(host)) {
    return ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), host.c_str()) == 1;
  }
  ::SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return ::SSL_set1_host(ssl, host.c_str()) == 1 &&
         SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

}  // namespace

Result<std::unique_ptr<TlsOpener>> TlsOpener::create(std::string_view ca_certificate,
                                                     std::string_view ca_key,
                                                     std::string_view trusted) {
  Authority authority = TRY(Authority::create(ca_certificate, ca_key));
  std::unique_ptr<TlsOpener> opener(new TlsOpener(std::move(authority)));
  TRY(opener->prepare_server());
  TRY(opener->prepare_client(trusted));
  return opener;
}

Result<void> TlsOpener::prepare_server() {
  server_ = make_context(::TLS_server_method());
  if (!server_) return fail_openssl(ErrorKind::internal, "prepare TLS");
  // Sessions travel in tickets: nothing is kept here.
  ::SSL_CTX_set_session_cache_mode(server_.get(), SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_alpn_select_cb(server_.get(), choose_protocol, nullptr);
  return {};
}

Result<void> TlsOpener::prepare_client(std::string_view trusted) {
  client_ = make_context(::TLS_client_method());
  if (!client_) return fail_openssl(ErrorKind::internal, "prepare TLS");
  TRY(trust(::SSL_CTX_get_cert_store(client_.get()), trusted));
  ::SSL_CTX_set_verify(client_.get(), SSL_VERIFY_PEER, nullptr);
  ::SSL_CTX_set_session_cache_mode(client_.get(),
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  ::SSL_CTX_sess_set_new_cb(client_.get(), keep_session);
  return {};
}

int TlsOpener::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* opener = static_cast<TlsOpener*>(::SSL_get_ex_data(ssl, opener_slot()));
  auto& sessions = opener->sessions_;
  const std::string& host = text_of(ssl);
  if (sessions.size() == kMaxSessions && !sessions.contains(host)) {
    sessions.erase(sessions.begin());
  }
  sessions[host].reset(session);
  return 1;  // the session is ours now
}

Result<std::unique_ptr<TlsStream>> TlsOpener::accept(Socket& socket, std::string first,
                                                     const std::string& host,
                                                     const std::string& protocol) {
  X509* const certificate = TRY(authority_.certificate_for(host));
  SslPtr ssl(::SSL_new(server_.get()));
  if (!ssl || !set_text(ssl.get(), protocol) ||
      ::SSL_use_certificate(ssl.get(), certificate) != 1 ||
      ::SSL_use_PrivateKey(ssl.get(), authority_.key()) != 1) {
    return fail_openssl(ErrorKind::internal, "begin TLS");
  }
  ::SSL_set_accept_state(ssl.get());
  return TlsStream::create(std::move(ssl), socket, std::move(first));
}

Result<std::unique_ptr<TlsStream>> TlsOpener::connect(Socket& socket, const std::string& host,
                                                      const std::vector<std::string>& protocols) {
  SslPtr ssl(::SSL_new(client_.get()));
  const std::string wire = wire_form(protocols);
  if (!ssl || !set_text(ssl.get(), host) ||
      ::SSL_set_ex_data(ssl.get(), opener_slot(), this) != 1 || !expect_host(ssl.get(), host) ||
      ::SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size())) != 0) {
    return fail_openssl(ErrorKind::internal, "begin TLS");
  }
  if (const auto session = sessions_.find(host); session != sessions_.end()) {
    // TLS 1.3's tickets are for one use; a server sends new ones with every connection.
    (void)::SSL_set_session(ssl.get(), session->second.get());
    sessions_.erase(session);
  }
  ::SSL_set_connect_state(ssl.get());
  return TlsStream::create(std::move(ssl), socket);
}

}  // namespace agentvm::egress
