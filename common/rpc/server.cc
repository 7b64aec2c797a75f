#include "common/rpc/server.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/listen_address.h"
#include "common/log.h"
#include "common/program.h"
#include "common/rpc/deadline.h"
#include "common/status_macros.h"
#include "grpc/support/cpu.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace pompc::rpc {
namespace {

// gRPC reports to its log what its calls report as well; here that is a debugging aid, but for the
// last words before it ends the process.
void LogFromGrpc(gpr_log_func_args* args) {
  const bool fatal = absl::StrContains(args->message, "assertion failed");
  Log().log(fatal ? spdlog::level::critical : spdlog::level::debug, "gRPC: {}:{}: {}", args->file,
            args->line, args->message);
}

// gRPC's process-wide settings, made once and before the first server. Refused some of its threads,
// gRPC hangs or aborts, so there must be enough for it.
absl::Status SetUpGrpcOnce() {
  static const auto* done = new absl::Status([] {
    gpr_set_log_function(LogFromGrpc);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // Its pools grow with the cores, to these bounds; timers, resolver and executor come on top.
    const int cores = static_cast<int>(gpr_cpu_num_cores());
    return CheckThreads(8 + std::clamp(cores, 2, 32) + std::clamp(cores / 2, 2, 16));
  }());
  return *done;
}

int Millis(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

void Configure(const ServerOptions& options, grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Millis(options.min_client_ping_interval));
  if (options.max_connection_age > absl::ZeroDuration()) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, Millis(options.max_connection_age));
  }
  // With port reuse, gRPC's default, two servers on one port would share its connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  grpc::ResourceQuota quota("pompc");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::SyncServerOption::MAX_POLLERS, 1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  ListenAddress address;
  const bool listens = !options.listen.empty();
  if (listens) {
    POMPC_ASSIGN_OR_RETURN(address, CheckListenAddress(options.listen, options.insecure));
    POMPC_RETURN_IF_ERROR(ProbeListen(address));
  }
  POMPC_RETURN_IF_ERROR(Annotate(SetUpGrpcOnce(), "gRPC"));
  grpc::ServerBuilder builder;
  Configure(options, builder);
  std::unique_ptr<Server> server(new Server);
  if (listens) {
    builder.AddListeningPort(address.ToString(), grpc::InsecureServerCredentials(), &server->port_);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || (listens && server->port_ == 0)) {
    return absl::UnavailableError(absl::StrCat("cannot serve on ", options.listen));
  }
  if (listens) {
    address.port = server->port_;
    server->address_ = address.ToString();
  }
  return server;
}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  return server_->InProcessChannel(MakeChannelArguments(ChannelOptions()));
}

void Server::SetServing(const std::string& service, bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(service, serving);
}

void Server::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  MutexLock lock(&mu_);
  if (shut_down_) return;
  shut_down_ = true;
  server_->GetHealthCheckService()->Shutdown();  // 1.
  server_->Shutdown(DeadlineAfter(grace));       // 2.
  server_->Wait();                               // 3.
}

}  // namespace pompc::rpc
