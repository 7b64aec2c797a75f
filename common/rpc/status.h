#ifndef POMPC_COMMON_RPC_STATUS_H_
#define POMPC_COMMON_RPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace pompc::rpc {

// Longest message that travels: gRPC puts it into a header of bounded size, and a longer one would
// turn every error into RESOURCE_EXHAUSTED.
inline constexpr size_t kMaxStatusMessageBytes = 2048;

// Same code, same message (cut at kMaxStatusMessageBytes).
grpc::Status ToGrpc(const absl::Status& status);

// Likewise; but that a message is larger than the receiver takes (or the sender may send) becomes
// INVALID_ARGUMENT: gRPC gives it the code of a server that is busy, RESOURCE_EXHAUSTED, which is
// tried again, and here no retry helps. A server that does not have the method says UNIMPLEMENTED
// and nothing more: what that means is added.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_STATUS_H_
