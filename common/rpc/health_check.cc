#include "common/rpc/health_check.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/rpc/call.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/set_up.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace pompc::rpc {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(3);

// Both messages of grpc.health.v1.Health.Check, without which gRPC's packages come, are simple: the
// request is field 1, a text, and has no bytes where that is empty; the reply is field 1, a varint.
std::string HealthRequest(const std::string& service) {
  POMPC_CHECK_LT(service.size(), 128u, "its length is one byte");
  if (service.empty()) return "";
  return absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service);
}

absl::StatusOr<std::string> AskHealth(const std::string& address, const std::string& service) {
  grpc::GenericStub stub(Endpoint(address).Channel());
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(kTimeout));
  // The generic stub has no callback form for a single call; one tag on a queue of its own will do.
  grpc::CompletionQueue queue;
  const grpc::Slice request(HealthRequest(service));
  const auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                          grpc::ByteBuffer(&request, 1), &queue);
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

absl::Status CheckHealth(const std::string& address, const std::string& service) {
  // What a server listens on is not always what a client can connect to.
  std::string reachable = address;
  if (absl::StartsWith(address, "0.0.0.0:")) {
    reachable = absl::StrCat("127.0.0.1:", address.substr(address.find(':') + 1));
  }
  POMPC_RETURN_IF_ERROR(SetUpGrpc());
  const absl::StatusOr<std::string> reply = AskHealth(reachable, service);
  if (absl::IsNotFound(reply.status())) {
    return absl::UnavailableError(
        absl::StrCat(reachable, " serves, but not as ", service, ": is it another role of pompc?"));
  }
  if (!reply.ok()) {
    return absl::UnavailableError(
        absl::StrCat("no health from ", reachable, ": ", reply.status().message()));
  }
  if (*reply == "\x08\x01") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(reachable, " is not serving"));
}

}  // namespace pompc::rpc
