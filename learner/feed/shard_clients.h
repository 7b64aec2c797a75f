#ifndef POMPC_LEARNER_FEED_SHARD_CLIENTS_H_
#define POMPC_LEARNER_FEED_SHARD_CLIENTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/rpc/endpoint.h"
#include "replay/client/shard_client.h"
#include "replay/core/table.h"

namespace pompc::learner {

// What one of `num_shards` shards is configured with: its part of the run's capacity, rounded up.
// `config` is resolved, with env.spec.
replay::TableOptions ShareOfShard(const proto::RunConfig& config, uint64_t num_shards);

// Draws windows from shards, which are numbered 0 .. size() - 1. Thread-safe.
class WindowSource {
 public:
  virtual ~WindowSource() = default;

  virtual size_t size() const = 0;
  // Starts drawing from one shard, as replay::ShardClient::SampleAsync. `done` is called exactly
  // once, possibly before this returns.
  virtual void SampleAsync(size_t shard, uint32_t count, uint64_t seed,
                           replay::ShardClient::SampleCallback done) = 0;
};

// A client of each of the run's shards. Thread-safe.
class ShardClients : public WindowSource {
 public:
  // `config` is resolved; its env.spec, planner, actor.chunk_rows, replay and learner.table matter.
  // `timeout` is the deadline of one call. `start` is the start of the learner, of which all ranks
  // are a part.
  ShardClients(const std::string& run_id, const std::vector<rpc::Endpoint>& shards,
               const proto::RunConfig& config, absl::Duration timeout,
               const replay::LearnerStart& start = {});

  size_t size() const override { return clients_.size(); }
  void SampleAsync(size_t shard, uint32_t count, uint64_t seed,
                   replay::ShardClient::SampleCallback done) override {
    POMPC_DCHECK_LT(shard, clients_.size());
    clients_[shard]->SampleAsync(count, seed, std::move(done));
  }
  replay::ShardClient& operator[](size_t shard) {
    POMPC_DCHECK_LT(shard, clients_.size());
    return *clients_[shard];
  }

  // Cancels all calls, and those made later. Idempotent.
  void Close();

 private:
  std::vector<std::unique_ptr<replay::ShardClient>> clients_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_SHARD_CLIENTS_H_
