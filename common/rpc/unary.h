#ifndef POMPC_COMMON_RPC_UNARY_H_
#define POMPC_COMMON_RPC_UNARY_H_

#include <utility>

#include "absl/status/statusor.h"
#include "common/rpc/deadline.h"
#include "common/rpc/message_text.h"
#include "common/rpc/status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"

namespace pompc::rpc {

// One blocking call with a deadline:
//   absl::StatusOr<proto::ShardInfo> info =
//       CallUnary(*stub, &proto::ReplayService::Stub::Info, request, absl::Seconds(2));
// Fails at once with UNAVAILABLE when there is no connection; DEADLINE_EXCEEDED after `timeout`;
// INTERNAL naming the cause when one side cannot read the other's message.
template <typename Stub, typename Request, typename Reply>
absl::StatusOr<Reply> CallUnary(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Reply*),
                                const Request& request, absl::Duration timeout) {
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(timeout));
  Reply reply;
  const grpc::Status status = (stub.*method)(&context, request, &reply);
  if (!status.ok()) return CallError(status, request, Reply::descriptor()->name());
  return reply;
}

// Ends a unary method of a callback service whose work is already done:
//   return FinishUnary(context, core_->Info(*request, reply));
inline grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                             const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

// As above, with the reply moved out of `result` when there is one. Bytes in its text fields that
// are no UTF-8 (paths, names) are escaped, since clients could not read the reply.
template <typename Reply>
grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                      absl::StatusOr<Reply> result, Reply* reply) {
  if (result.ok()) {
    *reply = *std::move(result);
    MakeText(reply);
  }
  return FinishUnary(context, result.status());
}

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_UNARY_H_
