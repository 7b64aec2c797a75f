#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/deadline.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/role_main.h"
#include "common/rpc/set_up.h"
#include "common/rpc/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace pompc::rpc {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(3);

// Calls grpc.health.v1.Health.Check for the server as a whole. gRPC's packages come without that
// service's messages, and these are simple: the request (service "") has no bytes, the reply is
// field 1, a varint.
absl::StatusOr<std::string> AskHealth(const std::string& address) {
  grpc::GenericStub stub(Endpoint(address).Channel());
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(kTimeout));
  grpc::CompletionQueue queue;
  const grpc::Slice no_bytes;
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                          grpc::ByteBuffer(&no_bytes, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer reply;
  grpc::Status status;
  call->Finish(&reply, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  POMPC_RETURN_IF_ERROR(FromGrpc(status));
  grpc::Slice bytes;
  POMPC_RETURN_IF_ERROR(FromGrpc(reply.DumpToSingleSlice(&bytes)));
  return std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
}

}  // namespace

absl::Status CheckHealth(const std::string& address) {
  std::string reachable = address;
  if (absl::StartsWith(address, "0.0.0.0:")) {
    reachable = absl::StrCat("127.0.0.1:", address.substr(address.find(':') + 1));
  }
  POMPC_RETURN_IF_ERROR(SetUpGrpc());
  const absl::StatusOr<std::string> reply = AskHealth(reachable);
  if (!reply.ok()) {
    return absl::UnavailableError(
        absl::StrCat("no health from ", reachable, ": ", reply.status().message()));
  }
  if (*reply == "\x08\x01") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(reachable, " is not serving"));
}

}  // namespace pompc::rpc
