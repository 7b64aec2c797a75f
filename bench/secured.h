#ifndef POMPC_BENCH_SECURED_H_
#define POMPC_BENCH_SECURED_H_

#include <cstdlib>
#include <memory>
#include <string>

#include "common/rpc/certificates.h"

namespace pompc {

// The ways in which benchmarks can connect: the values of their argument `loopback`.
enum Connection { kInProcess = 0, kPlaintext = 1, kSecured = 2 };

// The certificate of a role in the folder that deploy/certificates.sh has made and
// POMPC_CERTIFICATES names; null unless the connection is secured.
inline std::shared_ptr<const rpc::Certificates> CertificatesOf(int64_t connection, rpc::Role role) {
  if (connection != kSecured) return nullptr;
  const char* const folder = std::getenv("POMPC_CERTIFICATES");
  return *rpc::Certificates::Load(std::string(folder == nullptr ? "." : folder) + "/" +
                                  rpc::RoleName(role));
}

}  // namespace pompc

#endif  // POMPC_BENCH_SECURED_H_
