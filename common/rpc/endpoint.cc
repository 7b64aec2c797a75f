#include "common/rpc/endpoint.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/rpc/call.h"
#include "common/rpc/message_size.h"
#include "common/values/numbers.h"
#include "common/values/utf8.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace pompc::rpc {
namespace {

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

}  // namespace

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
  // Without it all calls go over one connection, to one of the replicas behind a name.
  if (options.balance == ChannelOptions::Balance::kRoundRobin) {
    args.SetLoadBalancingPolicyName("round_robin");
  }
  return args;
}

std::shared_ptr<grpc::Channel> Endpoint::Channel(const ChannelOptions& options) const {
  POMPC_CHECK(!empty(), "nowhere to connect to");
  if (channel_ != nullptr) return channel_;
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(),
                                   MakeChannelArguments(options));
}

absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(absl::string_view flag,
                                                     absl::string_view addresses) {
  std::vector<Endpoint> endpoints;
  for (absl::string_view part : absl::StrSplit(addresses, ',')) {
    part = absl::StripAsciiWhitespace(part);
    POMPC_RETURN_IF_ERROR(CheckAddress(flag, part));
    const auto same = [part](const Endpoint& other) { return other.address() == part; };
    if (std::any_of(endpoints.begin(), endpoints.end(), same)) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, ": \"", part, "\" is given twice; expected each address once"));
    }
    endpoints.emplace_back(std::string(part));
  }
  return endpoints;
}

}  // namespace pompc::rpc
