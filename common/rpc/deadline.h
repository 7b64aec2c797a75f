#ifndef POMPC_COMMON_RPC_DEADLINE_H_
#define POMPC_COMMON_RPC_DEADLINE_H_

#include "absl/time/time.h"
#include "grpc/support/time.h"

namespace pompc::rpc {

// A duration as gRPC's channel arguments want it.
inline int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

// The moment `timeout` from now, as gRPC's deadlines want it:
// context.set_deadline(DeadlineAfter(d)). gRPC waits on its own clock, so these are the only
// deadlines that pompc::Clock does not rule.
inline gpr_timespec DeadlineAfter(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(timeout), GPR_TIMESPAN));
}

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_DEADLINE_H_
