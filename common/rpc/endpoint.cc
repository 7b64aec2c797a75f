#include "common/rpc/endpoint.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "common/rpc/call.h"
#include "common/rpc/message_size.h"
#include "common/values/numbers.h"
#include "common/values/utf8.h"
#include "grpc/support/cpu.h"
#include "grpc/support/log.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/channel_arguments.h"

namespace pompc::rpc {
namespace {

// gRPC reports to its log what its calls report as well; here that is a debugging aid, but for the
// last words before it ends the process.
void LogFromGrpc(gpr_log_func_args* args) {
  const bool fatal = absl::StrContains(args->message, "assertion failed");
  Log().log(fatal ? spdlog::level::critical : spdlog::level::debug, "gRPC: {}:{}: {}", args->file,
            args->line, args->message);
}

absl::Status MakeSettings() {
  gpr_set_log_function(LogFromGrpc);
  // gRPC 1.51 looks at a connection that is being made only so often. Its own five seconds are also
  // what a TLS handshake may take, so that on a busy machine one attempt after the other fails.
  setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "200", /*overwrite=*/0);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // Its pools grow with the cores, to these bounds; timers, resolver and executor come on top.
  const int cores = static_cast<int>(gpr_cpu_num_cores());
  return Annotate(CheckThreads(8 + std::clamp(cores, 2, 32) + std::clamp(cores / 2, 2, 16)),
                  "gRPC");
}

absl::Status CheckAddress(absl::string_view flag, absl::string_view address) {
  // Addresses stand in messages, which take text alone.
  // A name with a scheme is gRPC's to resolve. Anything else must look like host:port here: gRPC
  // would take a typing error for a host name and retry it for ever.
  const bool text = IsUtf8(address);
  const bool named = absl::StrContains(address, ":///") || absl::StartsWith(address, "unix:");
  if (text && named) return absl::OkStatus();
  const size_t colon = address.rfind(':');
  if (text && colon != absl::string_view::npos && colon > 0 &&
      ParseInteger<int>(address.substr(colon + 1), 1, 65535).ok()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": \"", ToUtf8(address),
                   "\" is not an address; allowed: host:port with a port from 1 to 65535"));
}

constexpr absl::Duration kHealthTimeout = absl::Seconds(3);

// Both messages of grpc.health.v1.Health.Check, without which gRPC's packages come, are simple: the
// request is field 1, a text, and has no bytes where that is empty; the reply is field 1, a varint.
std::string HealthRequest(const std::string& service) {
  POMPC_CHECK_LT(service.size(), 128u, "its length is one byte");
  if (service.empty()) return "";
  return absl::StrCat("\x0a", std::string(1, static_cast<char>(service.size())), service);
}

absl::StatusOr<std::string> AskHealth(const Endpoint& endpoint, const std::string& service) {
  grpc::GenericStub stub(endpoint.Channel());
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(kHealthTimeout));
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

absl::Status SetUpGrpc() {
  // Counting takes tens of threads that are started and joined; a role that serves comes here
  // twice, before its channels and with its server.
  static const auto* const made = new absl::Status(MakeSettings());
  return *made;
}

grpc::ChannelArguments MakeChannelArguments(const ChannelOptions& options) {
  POMPC_CHECK(options.keepalive_time > absl::ZeroDuration());
  POMPC_CHECK(options.keepalive_timeout > absl::ZeroDuration());
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_time));
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Otherwise only two pings go out between data, and a half-open idle connection is never found.
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC's own bound is two minutes: far too long for a planner that was restarted.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Milliseconds(options.max_reconnect_backoff));
  // Containers come back under new addresses.
  args.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 2000);
  args.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Roles talk to each other directly, whatever http_proxy says.
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetMaxReceiveMessageSize(kMaxReplyBytes);
  args.SetMaxSendMessageSize(kMaxRequestBytes);
  return args;
}

std::shared_ptr<grpc::Channel> Endpoint::Channel(const ChannelOptions& options) const {
  POMPC_CHECK(!empty(), "nowhere to connect to");
  if (channel_ != nullptr) return channel_;
  grpc::ChannelArguments args = MakeChannelArguments(options);
  if (!name_.empty()) args.SetString(GRPC_ARG_DEFAULT_AUTHORITY, name_);
  return grpc::CreateCustomChannel(address_,
                                   trust_.certificates == nullptr
                                       ? grpc::InsecureChannelCredentials()
                                       : trust_.certificates->ToServer(trust_.server),
                                   args);
}

absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(absl::string_view flag,
                                                     absl::string_view addresses,
                                                     const Trust& trust) {
  std::vector<Endpoint> endpoints;
  for (absl::string_view part : absl::StrSplit(addresses, ',')) {
    part = absl::StripAsciiWhitespace(part);
    POMPC_RETURN_IF_ERROR(CheckAddress(flag, part));
    const auto same = [part](const Endpoint& other) { return other.address() == part; };
    if (std::any_of(endpoints.begin(), endpoints.end(), same)) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, ": \"", part, "\" is given twice; expected each address once"));
    }
    endpoints.emplace_back(std::string(part), trust);
  }
  return endpoints;
}

absl::Status CheckHealth(const std::string& address, const std::string& service,
                         const std::shared_ptr<const Certificates>& certificates) {
  // What a server listens on is not always what a client can connect to.
  std::string reachable = address;
  if (absl::StartsWith(address, "0.0.0.0:")) {
    reachable = absl::StrCat("127.0.0.1:", address.substr(address.find(':') + 1));
  }
  POMPC_RETURN_IF_ERROR(SetUpGrpc());
  const absl::StatusOr<std::string> reply =
      AskHealth(Endpoint(reachable, Trust{certificates}), service);
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
