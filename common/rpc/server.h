#ifndef POMPC_COMMON_RPC_SERVER_H_
#define POMPC_COMMON_RPC_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/rpc/certificates.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/message_size.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace pompc::rpc {

class ConnectionAcceptor;

struct ServerOptions {
  // "host:port" of a loopback address; port 0 takes any free one. Empty: in-process only.
  std::string listen;
  // Encrypts, asks clients for certificates, and lets the roles in them decide what they may call;
  // allows addresses that other hosts can reach. Null: plaintext.
  std::shared_ptr<const Certificates> certificates = nullptr;
  // Also allows addresses other hosts can reach without certificates, in plaintext.
  bool insecure = false;
  // A name for which the health service gives the same answer as for "", the server as a whole. A
  // client that asks for it learns whether this is the right program (see CheckHealth). Empty:
  // none.
  std::string health_service;
  // The same as in ChannelOptions, for finding clients that vanished.
  absl::Duration keepalive_time = ChannelOptions().keepalive_time;
  absl::Duration keepalive_timeout = ChannelOptions().keepalive_timeout;
  // Clients that ping more often, without sending anything else, are cut off ("too many pings").
  absl::Duration min_client_ping_interval = absl::Seconds(5);
  // Connections are ended gracefully after so long, which makes clients resolve names again and
  // find replicas that were added. Zero: never.
  absl::Duration max_connection_age = absl::ZeroDuration();
  // Larger requests are refused (INVALID_ARGUMENT, see FromGrpc).
  int max_request_bytes = kMaxRequestBytes;
  // Memory for requests that were received and not yet handed to a service. When it does not
  // suffice, the server reads its connections more slowly and at last cuts some off.
  int64_t max_buffered_bytes = int64_t{128} << 20;
  // The interval at which the server connects to itself, to find out whether clients can.
  absl::Duration self_check_interval = absl::Seconds(2);
  // Threads gRPC may use for synchronous methods (reflection).
  int max_threads = 16;
};

// A gRPC server with health checking (v1) and reflection. Services use the callback API: a
// synchronous stream would cost a thread. It keeps accepting connections whatever happens to
// file descriptors, and refuses those that would leave too few (see ConnectionAcceptor).
// Thread-safe. Does not own the services: they must outlive it. Destruction shuts it down.
class Server {
 public:
  // Starts serving `services`. INVALID_ARGUMENT if options.listen is not an address,
  // FAILED_PRECONDITION for plaintext beyond loopback without `insecure`, UNAVAILABLE naming the
  // address when the port is taken, RESOURCE_EXHAUSTED when the system allows fewer threads than
  // gRPC needs.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       const std::vector<grpc::Service*>& services);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // "host:port" it listens on; empty when in-process only.
  const std::string& address() const { return address_; }
  // 0 when in-process only.
  int port() const { return port_; }

  // A new channel to this server that uses no network.
  std::shared_ptr<grpc::Channel> InProcessChannel();
  // The same, as where clients find it.
  Endpoint InProcessEndpoint() { return Endpoint(InProcessChannel()); }

  // Sets what the health service answers for `service`. The name "" stands for the server as a
  // whole, for which the answer is SERVING from the start. While Health() is not OK, the answer is
  // NOT_SERVING for all of them.
  void SetServing(const std::string& service, bool serving);

  // OK while new clients can connect; otherwise UNAVAILABLE saying what keeps them out (too many
  // connections, no file descriptor left). A server that is in-process only is always healthy.
  absl::Status Health() const;

  // 1. Health says NOT_SERVING; new connections and calls are refused. 2. Calls in progress get
  // `grace` to end (none over in-process channels), then are cancelled: their reactors' OnCancel
  // must finish them. 3. Waits until all have ended. Callers first close the core behind the
  // services, so that calls that wait in it return. Idempotent.
  void Shutdown(absl::Duration grace);

 private:
  explicit Server(std::string health_service);

  void SetReachable(bool reachable);
  void PublishServing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(serving_mu_);

  std::string address_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;

  Mutex serving_mu_;
  // ServerOptions::health_service.
  const std::string health_service_;
  // For each service what SetServing() said last.
  std::map<std::string, bool> serving_ ABSL_GUARDED_BY(serving_mu_) = {{"", true}};
  // True if new clients reach the server.
  bool reachable_ ABSL_GUARDED_BY(serving_mu_) = true;

  // Null when in-process only. It reports to the fields above.
  std::unique_ptr<ConnectionAcceptor> acceptor_;

  Mutex mu_;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_SERVER_H_
