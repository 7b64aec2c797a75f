#ifndef POMPC_COMMON_RPC_CALL_H_
#define POMPC_COMMON_RPC_CALL_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/wire.h"
#include "google/protobuf/message.h"
#include "grpc/support/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/server_callback.h"
#include "grpcpp/support/status.h"

// Helpers that every call needs on either side: deadlines, the conversion of statuses, and
// functions that start and finish calls. common/base/retry.h says which failed calls are worth
// repeating.

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

// Longest message that travels: gRPC puts it into a header of bounded size, and a longer one would
// turn every error into RESOURCE_EXHAUSTED.
inline constexpr size_t kMaxStatusMessageBytes = 2048;

// Same code, same message (cut at kMaxStatusMessageBytes).
grpc::Status ToGrpc(const absl::Status& status);

// Same code, same message, but for two cases. A message that is larger than its sender or receiver
// allows gives INVALID_ARGUMENT: gRPC's own code for it is RESOURCE_EXHAUSTED, as from a busy
// server, which callers would try again in vain. And UNIMPLEMENTED, which comes without a message
// from a server that lacks the method, gets one that says so.
absl::Status FromGrpc(const grpc::Status& status);

// `error`, with the hint that the server gave with it (RetryAfter in common/base/retry.h), if it
// gave one. The call of `context` has ended.
absl::Status WithServerHint(absl::Status error, const grpc::ClientContext& context);

// Adds the hint of `status` (RetryAfter), if it has one, to what the call's end will tell the
// client. The call of `context` has not ended.
void SendRetryAfter(grpc::CallbackServerContext* context, const absl::Status& status);

// The error of a call that failed, with the cause where gRPC leaves it out: INTERNAL naming the
// field of `request` that is not UTF-8, or the type of the reply that could not be parsed.
absl::Status CallError(const grpc::Status& status, const google::protobuf::Message& request,
                       absl::string_view reply_type);

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
  if (!status.ok()) {
    return WithServerHint(CallError(status, request, Reply::descriptor()->name()), context);
  }
  return reply;
}

// Ends a unary method of a callback service whose work is already done:
//   return FinishUnary(context, core_->Info(*request, reply));
inline grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                             const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  SendRetryAfter(context, status);
  reactor->Finish(ToGrpc(status));
  return reactor;
}

// Does the same, with the reply moved out of `result` when there is one. Bytes in its text fields
// that are not UTF-8 (paths, names) are escaped, since clients could not read the reply.
template <typename Reply>
grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                      absl::StatusOr<Reply> result, Reply* reply) {
  if (result.ok()) {
    *reply = *std::move(result);
    MakeText(reply);
  }
  return FinishUnary(context, result.status());
}

// Parses the request of a call that receives raw bytes. INVALID_ARGUMENT if they are not such a
// message.
template <typename Message>
absl::StatusOr<Message> ParseMessage(const grpc::ByteBuffer& bytes) {
  Message message;
  // Parsing does not change the buffer; only the reader's interface says so.
  grpc::ProtoBufferReader reader(const_cast<grpc::ByteBuffer*>(&bytes));
  if (bytes.Valid() && message.ParseFromZeroCopyStream(&reader)) return message;
  return absl::InvalidArgumentError(
      absl::StrCat("the request is no ", Message::descriptor()->name()));
}

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_CALL_H_
