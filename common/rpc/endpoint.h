#ifndef POMPC_COMMON_RPC_ENDPOINT_H_
#define POMPC_COMMON_RPC_ENDPOINT_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/certificates.h"

namespace grpc {
class Channel;
class ChannelArguments;
}  // namespace grpc

// This header has what a client needs to reach a service: gRPC's settings for the process, the
// addresses of services, channels to them, and health checks.

namespace pompc::rpc {

// Prepares the process for gRPC. Every program calls it before its first channel or server. It
// sends gRPC's log to ours, and returns RESOURCE_EXHAUSTED if the system allows fewer threads than
// gRPC needs: gRPC itself would hang or abort. Thread-safe. Later calls return what the first one
// did, as gRPC's threads run by then.
absl::Status SetUpGrpc();

struct ChannelOptions {
  // A ping is sent after keepalive_time without traffic, and the connection is closed if the answer
  // takes longer than keepalive_timeout. A peer that vanished is thus noticed within the sum of the
  // two. Servers refuse clients that ping more often than ServerOptions::min_client_ping_interval.
  absl::Duration keepalive_time = absl::Seconds(10);
  absl::Duration keepalive_timeout = absl::Seconds(5);
  // Longest pause between attempts to connect.
  absl::Duration max_reconnect_backoff = absl::Seconds(2);
};

// The place of a service: an address, or a server of this process. Copyable; thread-safe.
class Endpoint {
 public:
  // What address() says of a server of this process.
  static constexpr char kInProcess[] = "in-process";

  // Nowhere: empty() is true.
  Endpoint() = default;
  // "host:port", or any name gRPC resolves ("dns:///planner:50051").
  explicit Endpoint(std::string address, Trust trust = {})
      : address_(std::move(address)), trust_(std::move(trust)) {}
  // One of the addresses that `name`, "host:port", stands for. The server is told the name.
  Endpoint(std::string address, std::string name, Trust trust = {})
      : address_(std::move(address)), name_(std::move(name)), trust_(std::move(trust)) {}
  // A server of this process: Server::InProcessChannel().
  explicit Endpoint(std::shared_ptr<grpc::Channel> channel)
      : address_(kInProcess), channel_(std::move(channel)) {}

  bool empty() const { return address_.empty(); }
  // For messages and the status.
  const std::string& address() const { return address_; }
  // What the address was looked up from; empty where it was not.
  const std::string& name() const { return name_; }
  const Trust& trust() const { return trust_; }

  // The same place, found by the same name and trusted alike.
  friend bool operator==(const Endpoint&, const Endpoint&) = default;

  // A channel to it. `options` apply to addresses; a server of this process ignores them. Does not
  // block: connections are made when needed and made again when lost. A caller that makes a stub of
  // the channel includes grpcpp/channel.h. REQUIRES: !empty().
  std::shared_ptr<grpc::Channel> Channel(const ChannelOptions& options = {}) const;

 private:
  std::string address_;
  std::string name_;
  Trust trust_;
  std::shared_ptr<grpc::Channel> channel_;
};

// Converts the options to gRPC's channel arguments.
grpc::ChannelArguments MakeChannelArguments(const ChannelOptions& options);

// Reads addresses that are separated by commas, "a:1,b:2", into one endpoint for each.
// INVALID_ARGUMENT naming `flag` if one of them is neither host:port nor a name that gRPC resolves
// itself ("dns:///planner:50051", "unix:/path"), or is there twice.
absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(absl::string_view flag,
                                                     absl::string_view addresses,
                                                     const Trust& trust = {});

// Asks the server at `address` whether it serves `service` or, for "", anything at all. An address
// "0.0.0.0:p" is asked at 127.0.0.1:p. UNAVAILABLE if it does not serve, does not know the service
// (then it has another role), or gives no answer within 3 s; RESOURCE_EXHAUSTED as SetUpGrpc.
// `certificates` are those with which the server was started; null: plaintext. REQUIRES: `service`
// has fewer than 128 bytes.
absl::Status CheckHealth(const std::string& address, const std::string& service = "",
                         const std::shared_ptr<const Certificates>& certificates = nullptr);

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_ENDPOINT_H_
