#include "common/rpc/certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <functional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "grpcpp/security/auth_metadata_processor.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace pompc::rpc {
namespace {

constexpr size_t kMostFileBytes = size_t{1} << 20;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
void FreeBio(BIO* bio) { BIO_free(bio); }
using OwnedBio = std::unique_ptr<BIO, Deleter<BIO, FreeBio>>;
using OwnedCertificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using OwnedKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
using OwnedStore = std::unique_ptr<X509_STORE, Deleter<X509_STORE, X509_STORE_free>>;
using OwnedCheck = std::unique_ptr<X509_STORE_CTX, Deleter<X509_STORE_CTX, X509_STORE_CTX_free>>;
using OwnedNames = std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES, GENERAL_NAMES_free>>;
using OwnedContext = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX, SSL_CTX_free>>;
using OwnedSession = std::unique_ptr<SSL, Deleter<SSL, SSL_free>>;

absl::Status Unusable(const std::string& folder, const char* file, absl::string_view why) {
  // What OpenSSL remembers of this thread's failures is not to be found by others.
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat("--certificates: ", folder, "/", file, " ", why));
}

// One of the three files, as a stream for OpenSSL.
absl::StatusOr<OwnedBio> OpenPem(const std::string& folder, const char* file) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat(folder, "/", file), kMostFileBytes);
  if (!text.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--certificates: ", text.status().message()));
  }
  OwnedBio bio(BIO_new(BIO_s_mem()));
  POMPC_CHECK(bio != nullptr);
  BIO_write(bio.get(), text->data(), static_cast<int>(text->size()));
  return bio;
}

// All certificates in a file, one at least.
absl::StatusOr<std::vector<OwnedCertificate>> ReadCertificates(const std::string& folder,
                                                               const char* file) {
  POMPC_ASSIGN_OR_RETURN(const OwnedBio bio, OpenPem(folder, file));
  std::vector<OwnedCertificate> certificates;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(one);
  }
  ERR_clear_error();
  if (certificates.empty()) return Unusable(folder, file, "holds no certificate (PEM)");
  return certificates;
}

absl::Status CheckKey(const std::string& folder, X509* certificate) {
  POMPC_ASSIGN_OR_RETURN(const OwnedBio bio, OpenPem(folder, "tls.key"));
  // A key that asks for a password is none: the process cannot be asked.
  pem_password_cb* const no_password = [](char*, int, int, void*) { return -1; };
  const OwnedKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (key == nullptr) return Unusable(folder, "tls.key", "holds no private key (PEM)");
  if (X509_check_private_key(certificate, key.get()) == 1) return absl::OkStatus();
  return Unusable(folder, "tls.key", "is not the key of tls.crt");
}

// The first certificate follows from the CA's, by way of the others, and none has expired.
absl::Status CheckChain(const std::string& folder, const std::vector<OwnedCertificate>& own,
                        const std::vector<OwnedCertificate>& roots) {
  const OwnedStore store(X509_STORE_new());
  const OwnedCheck check(X509_STORE_CTX_new());
  STACK_OF(X509)* const between = sk_X509_new_null();
  POMPC_CHECK(store != nullptr && check != nullptr && between != nullptr);
  for (const OwnedCertificate& root : roots) X509_STORE_add_cert(store.get(), root.get());
  for (size_t i = 1; i < own.size(); ++i) sk_X509_push(between, own[i].get());
  X509_STORE_CTX_init(check.get(), store.get(), own.front().get(), between);
  const bool good = X509_verify_cert(check.get()) == 1;
  const int error = X509_STORE_CTX_get_error(check.get());
  sk_X509_free(between);
  if (good) return absl::OkStatus();
  return Unusable(
      folder, "tls.crt",
      absl::StrCat("is not accepted by ca.crt: ", X509_verify_cert_error_string(error)));
}

std::vector<std::string> UriNames(X509* certificate) {
  std::vector<std::string> uris;
  const OwnedNames names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING* const text = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
  }
  return uris;
}

absl::Time ExpiryOf(X509* certificate) {
  std::tm time = {};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return absl::InfinitePast();
  return absl::FromTM(time, absl::UTCTimeZone());
}

std::vector<std::string> ToStrings(const std::vector<grpc::string_ref>& refs) {
  std::vector<std::string> strings;
  for (const grpc::string_ref& ref : refs) strings.emplace_back(ref.data(), ref.size());
  return strings;
}

// Runs after gRPC has checked that the server's certificate follows from ca.crt.
class ServerRoleVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  explicit ServerRoleVerifier(Role role) : role_(role) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* status) override {
    *status = grpc::Status::OK;
    if (role_ == proto::Access::ROLE_UNSPECIFIED) return true;
    const std::vector<Role> roles = RolesIn(ToStrings(request->uri_names()));
    for (const Role role : roles) {
      if (role == role_) return true;
    }
    *status = grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                           absl::StrCat("the server's certificate is of role ", RoleNames(roles),
                                        "; expected there: ", RoleName(role_)));
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  const Role role_;
};

// Sees each call before its service does.
class CallerCheck final : public grpc::AuthMetadataProcessor {
 public:
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context,
                       OutputMetadata* /*consumed*/, OutputMetadata* /*response*/) override {
    const auto path = metadata.find(":path");
    const absl::string_view method =
        path == metadata.end() ? "" : absl::string_view(path->second.data(), path->second.size());
    const absl::Status status =
        CheckAccess(method, RolesIn(ToStrings(context->FindPropertyValues("peer_uri"))));
    if (status.ok()) return grpc::Status::OK;
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, std::string(status.message()));
  }
};

}  // namespace

absl::StatusOr<Certificates::Content> Certificates::Read(const std::string& folder) {
  POMPC_ASSIGN_OR_RETURN(const auto roots, ReadCertificates(folder, "ca.crt"));
  POMPC_ASSIGN_OR_RETURN(const auto own, ReadCertificates(folder, "tls.crt"));
  POMPC_RETURN_IF_ERROR(CheckKey(folder, own.front().get()));
  POMPC_RETURN_IF_ERROR(CheckChain(folder, own, roots));
  return Content{RolesIn(UriNames(own.front().get())), ExpiryOf(own.front().get())};
}

absl::StatusOr<std::shared_ptr<const Certificates>> Certificates::Load(const std::string& folder,
                                                                       absl::Duration refresh) {
  std::shared_ptr<Certificates> made(new Certificates(folder));
  {
    MutexLock lock(&made->mu_);
    POMPC_ASSIGN_OR_RETURN(made->content_, Read(folder));
  }
  // It goes on with what it has where a file cannot be read for a while.
  made->provider_ = std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      folder + "/tls.key", folder + "/tls.crt", folder + "/ca.crt",
      static_cast<unsigned>(absl::ToInt64Seconds(refresh)));
  return made;
}

std::vector<Role> Certificates::roles() const {
  MutexLock lock(&mu_);
  return content_.roles;
}

absl::Status Certificates::CheckRole(Role role) const {
  for (const Role has : roles()) {
    if (has == role) return absl::OkStatus();
  }
  return Unusable(folder_, "tls.crt",
                  absl::StrCat("is of role ", RoleNames(roles()), "; needed here: ", RoleName(role),
                               " (the name ", RoleUri(role), " of type URI)"));
}

absl::Time Certificates::Expiry() const {
  absl::StatusOr<Content> content = Read(folder_);
  MutexLock lock(&mu_);
  if (content.ok()) content_ = *std::move(content);
  return content_.expiry;
}

std::shared_ptr<grpc::ChannelCredentials> Certificates::ToServer(Role server) const {
  MutexLock lock(&mu_);
  std::shared_ptr<grpc::ChannelCredentials>& credentials = to_server_[server];
  if (credentials != nullptr) return credentials;
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(provider_);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  // The role takes the place of the host's name, here and for each call.
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<ServerRoleVerifier>(server));
  credentials = grpc::experimental::TlsCredentials(options);
  return credentials;
}

std::shared_ptr<grpc::ServerCredentials> Certificates::ForServer() const {
  grpc::experimental::TlsServerCredentialsOptions options(provider_);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  std::shared_ptr<grpc::ServerCredentials> credentials =
      grpc::experimental::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<CallerCheck>());
  return credentials;
}

void AddCertificatesFlag(CLI::App& app, std::string* folder) {
  app.add_option("--certificates", *folder,
                 "Folder with ca.crt, tls.crt and tls.key of this process's role, as "
                 "deploy/certificates.sh makes it: connections are encrypted, and both sides prove "
                 "who they are")
      ->type_name("DIR")
      ->envname("POMPC_CERTIFICATES");
}

absl::StatusOr<std::shared_ptr<const Certificates>> LoadCertificates(const std::string& folder) {
  if (folder.empty()) return std::shared_ptr<const Certificates>();
  return Certificates::Load(folder);
}

absl::StatusOr<Trust> LoadTrust(const std::string& folder, Role server) {
  POMPC_ASSIGN_OR_RETURN(auto certificates, LoadCertificates(folder));
  return Trust{std::move(certificates), server};
}

MetricSource AddCertificateMetrics(MetricsRegistry& registry,
                                   std::shared_ptr<const Certificates> certificates) {
  return registry.AddSource([certificates = std::move(certificates)](MetricSamples& out) {
    out.Gauge("pompc_certificate_expiry_timestamp_seconds",
              "End of the validity of the process's certificate, in seconds since 1970.",
              absl::ToDoubleSeconds(certificates->Expiry() - absl::UnixEpoch()));
  });
}

std::string ClientHello() {
  const OwnedContext context(SSL_CTX_new(TLS_client_method()));
  const OwnedSession session(context == nullptr ? nullptr : SSL_new(context.get()));
  POMPC_CHECK(session != nullptr);
  BIO* const received = BIO_new(BIO_s_mem());
  BIO* const sent = BIO_new(BIO_s_mem());
  POMPC_CHECK(received != nullptr && sent != nullptr);
  SSL_set_bio(session.get(), received, sent);
  // It cannot go on without an answer.
  SSL_connect(session.get());
  ERR_clear_error();
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(sent, &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

}  // namespace pompc::rpc
