#include "learner/feed/shard_clients.h"

#include <cstdint>

#include "common/config/run_config.h"
#include "grpcpp/channel.h"
#include "replay/wire/tables.h"

namespace pompc::learner {

replay::TableOptions ShareOfShard(const proto::RunConfig& config, uint64_t num_shards) {
  const proto::ReplayConfig& settings = config.replay();
  const proto::EnvSpec& spec = config.env().spec();
  // Rounded up, so that no row of the capacity is lost to the division.
  return {.spec = {spec.observation_size(), spec.action_size()},
          .horizon = config.planner().horizon(),
          .capacity_rows = (settings.capacity_rows() + num_shards - 1) / num_shards,
          .capacity_bytes = (settings.capacity_bytes() + num_shards - 1) / num_shards,
          .tables = replay::ToNamedTables(settings)};
}

ShardClients::ShardClients(const std::string& run_id, const std::vector<rpc::Endpoint>& shards,
                           const proto::RunConfig& config, absl::Duration timeout,
                           const replay::LearnerStart& start) {
  const replay::TableOptions share = ShareOfShard(config, shards.size());
  replay::ShardClientOptions options;
  options.run_id = run_id;
  options.shard_count = static_cast<uint32_t>(shards.size());
  options.start = start;
  options.spec = config.env().spec();
  options.horizon = share.horizon;
  options.capacity_rows = share.capacity_rows;
  options.capacity_bytes = share.capacity_bytes;
  options.chunk_rows = config.actor().chunk_rows();
  const StdRange plan_std = config::PlanStdRange(config);
  options.task = config.env().task();
  options.action_repeat = config.env().action_repeat();
  options.min_plan_std = plan_std.min;
  options.max_plan_std = plan_std.max;
  // Sent whole: the shard takes from it what its selector needs.
  options.replay = config.replay();
  options.table = config.learner().table();
  options.timeout = timeout;
  // All shards get the same options but for their index: an environment may write to any of them,
  // and the batch is uniform over their union only if their windows are alike.
  for (const rpc::Endpoint& shard : shards) {
    options.shard_index = static_cast<uint32_t>(clients_.size());
    clients_.push_back(std::make_unique<replay::ShardClient>(options, shard.Channel()));
  }
}

void ShardClients::Close() {
  for (const auto& client : clients_) client->Close();
}

}  // namespace pompc::learner
