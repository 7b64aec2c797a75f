#include "CLI/CLI.hpp"
#include "common/base/check.h"
#include "common/process/freed_memory.h"
#include "common/rpc/role_main.h"
#include "proto/replay.grpc.pb.h"
#include "replay/app.h"
#include "replay/store_flags.h"

int main(int argc, char** argv) {
  pompc::rpc::RoleMain role({
      .program = "pompc-replay",
      .summary = "One shard of a run's replay: stores the rows actors send, in memory and, with "
                 "--data-dir, on disk, and hands windows of them to the learner, which opens the "
                 "shard and sets its limits.",
      .examples =
          "  pompc-replay --listen 127.0.0.1:50061\n"
          "  pompc-replay --listen 0.0.0.0:50061 --certificates /etc/pompc/replay --shard 1\n"
          "  pompc-replay --data-dir /var/lib/pompc/shard-0\n"
          "  pompc-replay --data-dir /var/lib/pompc/shard-0 --on-disk\n",
      .listen = "127.0.0.1:50061",
      .health_service = pompc::proto::ReplayService::service_full_name(),
      .role = pompc::proto::Access::REPLAY,
  });
  // Everything else that a shard needs to know (run, sizes, capacity) comes from the learner, so
  // that it cannot differ from the run's config.
  pompc::replay::AppOptions options;
  // Shards that run in one process, or scrape into one Prometheus, are told apart by this label.
  role.flags()
      .add_option("--shard", options.shard, "Label of this shard in its metrics")
      ->envname("POMPC_SHARD")
      ->capture_default_str();
  pompc::replay::StoreFlags store;
  store.AddTo(role.flags());
  return role.Run(
      argc, argv,
      [&options,
       &store](const pompc::rpc::RoleContext& context) -> absl::StatusOr<pompc::rpc::RunningRole> {
        // Replies of hundreds of kilobytes come and go. Faulting their pages in each time costs a
        // tenth of a reply.
        pompc::KeepFreedMemory(int64_t{64} << 20);
        options.listen = context.flags.listen;
        options.certificates = context.certificates;
        options.insecure = context.flags.insecure;
        options.metrics = context.metrics;
        POMPC_RETURN_IF_ERROR(store.Fill(&options));
        POMPC_ASSIGN_OR_RETURN(auto app, pompc::replay::App::Start(options));
        return pompc::rpc::MakeRunningRole(std::move(app));
      });
}
