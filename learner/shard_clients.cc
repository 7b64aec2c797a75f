#include "learner/shard_clients.h"

#include <cstdint>

#include "common/config/run_config.h"
#include "grpcpp/channel.h"

namespace pompc::learner {

ShardClients::ShardClients(const std::string& run_id, const std::vector<rpc::Endpoint>& shards,
                           const proto::RunConfig& config, absl::Duration timeout) {
  const uint64_t count = shards.size();
  const proto::ReplayConfig& replay = config.replay();
  replay::ShardClientOptions options;
  options.run_id = run_id;
  options.spec = config.env().spec();
  options.horizon = config.planner().horizon();
  options.capacity_rows = (replay.capacity_rows() + count - 1) / count;
  options.capacity_bytes = (replay.capacity_bytes() + count - 1) / count;
  options.chunk_rows = config.actor().chunk_rows();
  const StdRange plan_std = config::PlanStdRange(config);
  options.min_plan_std = plan_std.min;
  options.max_plan_std = plan_std.max;
  options.timeout = timeout;
  for (const rpc::Endpoint& shard : shards) {
    options.shard_index = static_cast<uint32_t>(clients_.size());
    clients_.push_back(std::make_unique<replay::ShardClient>(options, shard.Channel()));
  }
}

void ShardClients::Close() {
  for (const auto& client : clients_) client->Close();
}

}  // namespace pompc::learner
