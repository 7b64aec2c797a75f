#ifndef POMPC_COMMON_RPC_CERTIFICATES_H_
#define POMPC_COMMON_RPC_CERTIFICATES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/metrics/metrics.h"
#include "common/rpc/access.h"

namespace grpc {
class ChannelCredentials;
class ServerCredentials;
namespace experimental {
class CertificateProviderInterface;
}  // namespace experimental
}  // namespace grpc

namespace CLI {
class App;
}  // namespace CLI

// With what processes prove to each other who they are, by mutual TLS.

namespace pompc::rpc {

// The certificates of a process, in a folder: ca.crt (those by which others are believed), tls.crt
// (its own, with those between it and the CA, if there are any) and tls.key (its private key), all
// in PEM. The files are looked at again every few seconds, so that they can be replaced while the
// process runs; new connections then use the new ones. A process that serves and one that asks have
// the same kind of certificate. What it may call and as what it may serve follows from the roles in
// it (RoleUri); host names play no part. Thread-safe.
class Certificates {
 public:
  // The pause between two looks at the files.
  static constexpr absl::Duration kRefresh = absl::Seconds(10);

  // Reads the files. INVALID_ARGUMENT naming the file that cannot be read or used: one is not there
  // or no PEM, the key is not that of the certificate, or the certificate has expired or does not
  // follow from ca.crt. `refresh` is in whole seconds.
  static absl::StatusOr<std::shared_ptr<const Certificates>> Load(
      const std::string& folder, absl::Duration refresh = kRefresh);

  const std::string& folder() const { return folder_; }

  // The roles that tls.crt said when it was read last.
  std::vector<Role> roles() const;

  // INVALID_ARGUMENT naming both if the certificate does not have the role.
  absl::Status CheckRole(Role role) const;

  // When tls.crt expires. Reads it again; where that fails, what it said last.
  absl::Time Expiry() const;

  // For channels to servers whose certificate has the role `server`; ROLE_UNSPECIFIED: any. A
  // connection to another server fails. Always the same object for one role, so that channels to
  // one address share a connection.
  std::shared_ptr<grpc::ChannelCredentials> ToServer(Role server) const;

  // For servers. Clients need a certificate, and its roles decide which methods they may call
  // (CheckAccess).
  std::shared_ptr<grpc::ServerCredentials> ForServer() const;

 private:
  // What one reading of the files gave.
  struct Content {
    std::vector<Role> roles;
    absl::Time expiry;
  };

  explicit Certificates(std::string folder) : folder_(std::move(folder)) {}

  static absl::StatusOr<Content> Read(const std::string& folder);

  const std::string folder_;
  std::shared_ptr<grpc::experimental::CertificateProviderInterface> provider_;

  mutable Mutex mu_;
  mutable Content content_ ABSL_GUARDED_BY(mu_);
  mutable std::map<Role, std::shared_ptr<grpc::ChannelCredentials>> to_server_ ABSL_GUARDED_BY(mu_);
};

// Whom a client expects at the other end, and with what it proves who it is itself. By default both
// sides speak plaintext.
struct Trust {
  // Null: plaintext.
  std::shared_ptr<const Certificates> certificates;
  Role server = proto::Access::ROLE_UNSPECIFIED;

  bool operator==(const Trust&) const = default;
};

// Adds the flag --certificates, which all programs share.
void AddCertificatesFlag(CLI::App& app, std::string* folder);

// What the flag gives: null for an empty folder, else Certificates::Load.
absl::StatusOr<std::shared_ptr<const Certificates>> LoadCertificates(const std::string& folder);
// The same, for a client of servers of one role.
absl::StatusOr<Trust> LoadTrust(const std::string& folder, Role server);

// Adds pompc_certificate_expiry_timestamp_seconds.
[[nodiscard]] MetricSource AddCertificateMetrics(MetricsRegistry& registry,
                                                 std::shared_ptr<const Certificates> certificates);

// The first bytes that a client of TLS sends. A server of TLS answers them, whoever it is.
std::string ClientHello();

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_CERTIFICATES_H_
