#include "learner/shard_clients.h"

#include <cstdint>

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
