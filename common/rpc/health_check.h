#ifndef POMPC_COMMON_RPC_HEALTH_CHECK_H_
#define POMPC_COMMON_RPC_HEALTH_CHECK_H_

#include <string>

#include "absl/status/status.h"

namespace pompc::rpc {

// Asks the health service at `address` ("0.0.0.0:p" is asked at 127.0.0.1:p) for `service`, or for
// the server as a whole: OK if it serves, UNAVAILABLE if not, if it does not know the service (it
// is another role) or if there is no answer within 3 s, RESOURCE_EXHAUSTED as SetUpGrpc. REQUIRES:
// `service` has fewer than 128 bytes.
absl::Status CheckHealth(const std::string& address, const std::string& service = "");

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_HEALTH_CHECK_H_
