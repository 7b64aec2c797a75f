#include "common/rpc/call.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/retry.h"
#include "common/values/numbers.h"

namespace pompc::rpc {

// Both enumerations are google.rpc.Code, so codes are cast, not mapped.
grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message().substr(0, kMaxStatusMessageBytes)));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  // Only the message tells this case from a server that is busy.
  // "Received message larger than max (...)", "Sent message larger than max (...)".
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
      absl::StrContains(status.error_message(), "message larger than max")) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message does not fit, whenever it is sent: ", status.error_message()));
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED && status.error_message().empty()) {
    return absl::UnimplementedError(
        "the server there has no such method: is it another role of pompc, or another version?");
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Status WithServerHint(absl::Status error, const grpc::ClientContext& context) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto hint = metadata.find(kRetryAfterKey);
  if (hint == metadata.end()) return error;
  const absl::StatusOr<uint64_t> ms =
      ParseInteger<uint64_t>({hint->second.data(), hint->second.size()}, 1, uint64_t{1} << 32);
  // A hint that is no number comes from something else than pompc, and is none.
  if (!ms.ok()) return error;
  return WithRetryAfter(std::move(error), absl::Milliseconds(*ms));
}

void SendRetryAfter(grpc::CallbackServerContext* context, const absl::Status& status) {
  const std::optional<absl::Duration> after = RetryAfter(status);
  if (!after.has_value()) return;
  context->AddTrailingMetadata(kRetryAfterKey, absl::StrCat(absl::ToInt64Milliseconds(*after)));
}

absl::Status CallError(const grpc::Status& status, const google::protobuf::Message& request,
                       absl::string_view reply_type) {
  const absl::Status error = FromGrpc(status);
  // What gRPC makes of a request that the server cannot read, and of a reply that the client
  // cannot. An RPC that the server does not have is UNIMPLEMENTED with the same empty message.
  // gRPC's own words for these cases name neither the message nor the field. Both are found out
  // here, after the failure, because looking through every message before it is sent would cost
  // each call.
  const bool unread = absl::IsUnimplemented(error) || absl::IsInternal(error);
  if (!unread) return error;
  const std::string field = FieldThatIsNoText(request);
  if (!field.empty()) {
    return absl::InternalError(absl::StrCat("the server cannot read this ",
                                            request.GetDescriptor()->name(), ": its field ", field,
                                            " is not UTF-8 text"));
  }
  if (error.message() == "No message returned for unary request") {
    return absl::InternalError(
        absl::StrCat("the server's ", reply_type,
                     " cannot be read: a text in it is not UTF-8, or it is of another version of "
                     "the messages"));
  }
  if (!status.error_message().empty()) return error;
  return absl::Status(
      error.code(),
      absl::StrCat("the server there has no method that takes a ", request.GetDescriptor()->name(),
                   ", or cannot read it: is it another role of pompc, or another "
                   "version?"));
}

}  // namespace pompc::rpc
