#include "common/rpc/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/io/listener.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "common/rpc/connection_acceptor.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace pompc::rpc {
namespace {

constexpr absl::Duration kHandshakeTimeout = absl::Seconds(15);

// What lets a server be reached from elsewhere.
constexpr char kRemedy[] =
    "give --certificates (deploy/certificates.sh makes them) or, where all who can reach it may do "
    "everything, --insecure";

void WarnOfPlaintext(const ServerOptions& options, const ListenAddress& address) {
  if (options.certificates != nullptr || address.IsLoopback()) return;
  Log().warn(
      "INSECURE: {} takes calls in plaintext from whoever reaches it, who can read and change "
      "everything and end the run (--insecure); --certificates would prevent that",
      address.ToString());
}

void Configure(const ServerOptions& options, grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Milliseconds(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(options.min_client_ping_interval));
  // Clients of a name that stands for several replicas would stay with those they met first. After
  // this age they reconnect, and meet replicas that came later.
  if (options.max_connection_age > absl::ZeroDuration()) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               Milliseconds(options.max_connection_age));
  }
  // A connection on which no client speaks must not hold a descriptor for gRPC's two minutes.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, Milliseconds(kHandshakeTimeout));
  builder.SetMaxReceiveMessageSize(options.max_request_bytes);
  builder.SetMaxSendMessageSize(kMaxReplyBytes);
  // Bounds for what clients can make this process hold, whatever they send: threads, and bytes of
  // messages that are not read yet.
  grpc::ResourceQuota quota("pompc");
  quota.SetMaxThreads(options.max_threads);
  quota.Resize(static_cast<size_t>(options.max_buffered_bytes));
  builder.SetResourceQuota(quota);
  // All services use the callback API. One poller is the least that the synchronous one can be
  // given.
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 1);
}

using GrpcAcceptor = grpc::experimental::ExternalConnectionAcceptor;

// Hands connections to gRPC. The kernel gives up on data that is not acknowledged for as long as
// keepalive waits for an answer, as gRPC sets it for connections of its own listener.
std::function<void(Descriptor)> HandTo(std::shared_ptr<GrpcAcceptor> acceptor,
                                       const ServerOptions& options) {
  const unsigned user_timeout_ms = static_cast<unsigned>(Milliseconds(options.keepalive_timeout));
  POMPC_CHECK(acceptor != nullptr, "made where there is a listener");
  return [acceptor = std::move(acceptor), user_timeout_ms](Descriptor connection) {
    POMPC_CHECK(connection.valid());
    setsockopt(connection.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
               sizeof(user_timeout_ms));
    GrpcAcceptor::NewConnectionParameters parameters;
    parameters.fd = connection.Release();
    acceptor->HandleNewConnection(&parameters);
  };
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  std::unique_ptr<Listener> listener;
  if (!options.listen.empty()) {
    POMPC_ASSIGN_OR_RETURN(
        const ListenAddress address,
        CheckListenAddress(options.listen, options.insecure || options.certificates != nullptr,
                           kRemedy));
    POMPC_ASSIGN_OR_RETURN(listener, Listener::Open(address));
    WarnOfPlaintext(options, address);
  }
  // The port is taken first: it is what fails most often, and its error is the clearest.
  POMPC_RETURN_IF_ERROR(SetUpGrpc());
  grpc::ServerBuilder builder;
  Configure(options, builder);
  std::shared_ptr<GrpcAcceptor> grpc_acceptor;
  if (listener != nullptr) {
    grpc_acceptor = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        options.certificates == nullptr ? grpc::InsecureServerCredentials()
                                        : options.certificates->ForServer());
  }
  for (grpc::Service* service : services) {
    POMPC_CHECK(service != nullptr);
    builder.RegisterService(service);
  }
  std::unique_ptr<Server> server(new Server(options.health_service));
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot serve on ", options.listen));
  }
  server->SetServing("", true);
  if (listener == nullptr) return server;
  server->port_ = listener->address().port;
  server->address_ = listener->address().ToString();
  ConnectionAcceptorOptions acceptor;
  acceptor.take = HandTo(std::move(grpc_acceptor), options);
  acceptor.check_interval = options.self_check_interval;
  if (options.certificates != nullptr) acceptor.greeting = ClientHello();
  acceptor.on_health = [raw = server.get()](bool healthy) { raw->SetReachable(healthy); };
  POMPC_ASSIGN_OR_RETURN(server->acceptor_,
                         ConnectionAcceptor::Start(std::move(listener), std::move(acceptor)));
  return server;
}

Server::Server(std::string health_service) : health_service_(std::move(health_service)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  return server_->InProcessChannel(MakeChannelArguments(ChannelOptions()));
}

void Server::SetServing(const std::string& service, bool serving) {
  MutexLock lock(&serving_mu_);
  serving_[service] = serving;
  PublishServing();
}

void Server::SetReachable(bool reachable) {
  MutexLock lock(&serving_mu_);
  reachable_ = reachable;
  PublishServing();
}

void Server::PublishServing() {
  // A service is healthy if its role says so and new clients can connect at all. A server that has
  // run out of descriptors serves those it has and must not be sent others.
  for (const auto& [service, serving] : serving_) {
    server_->GetHealthCheckService()->SetServingStatus(service, serving && reachable_);
  }
  if (health_service_.empty()) return;
  server_->GetHealthCheckService()->SetServingStatus(health_service_, serving_[""] && reachable_);
}

absl::Status Server::Health() const {
  return acceptor_ == nullptr ? absl::OkStatus() : acceptor_->Health();
}

void Server::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  MutexLock lock(&mu_);
  if (shut_down_) return;
  shut_down_ = true;
  // The numbers are those of the header. Health first, so that balancers stop sending; the acceptor
  // before the server, so that no connection is handed to one that shuts down.
  server_->GetHealthCheckService()->Shutdown();  // 1.
  if (acceptor_ != nullptr) acceptor_->Stop();
  server_->Shutdown(DeadlineAfter(grace));       // 2.
  server_->Wait();                               // 3.
}

}  // namespace pompc::rpc
