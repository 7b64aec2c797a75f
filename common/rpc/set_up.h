#ifndef POMPC_COMMON_RPC_SET_UP_H_
#define POMPC_COMMON_RPC_SET_UP_H_

#include "absl/status/status.h"

namespace pompc::rpc {

// Makes gRPC's settings that hold for the whole process: its log becomes ours. Every program calls
// it before its first channel or server, for gRPC hangs or aborts where it is refused some of its
// threads: RESOURCE_EXHAUSTED if the system allows fewer than it needs. Thread-safe; may be called
// again and gives the same answer: once gRPC's threads run, there is nothing to count.
absl::Status SetUpGrpc();

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_SET_UP_H_
