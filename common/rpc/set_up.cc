#include "common/rpc/set_up.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "common/base/status_macros.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "grpc/support/cpu.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"

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
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // Its pools grow with the cores, to these bounds; timers, resolver and executor come on top.
  const int cores = static_cast<int>(gpr_cpu_num_cores());
  return Annotate(CheckThreads(8 + std::clamp(cores, 2, 32) + std::clamp(cores / 2, 2, 16)),
                  "gRPC");
}

}  // namespace

absl::Status SetUpGrpc() {
  // Counting takes tens of threads that are started and joined; a role that serves comes here
  // twice, before its channels and with its server.
  static const auto* const made = new absl::Status(MakeSettings());
  return *made;
}

}  // namespace pompc::rpc
