#ifndef POMPC_TESTS_REPLAY_LEDGER_REFEREE_OPTIONS_H_
#define POMPC_TESTS_REPLAY_LEDGER_REFEREE_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/endpoint.h"
#include "replay/client/shard_client.h"
#include "tests/replay/ledger/script.h"

namespace pompc::replay::ledger {

// What the learner of the ledger's run is: the one who configures the shards, grants and samples.
struct RefereeOptions {
  std::string run_id = "ledger";
  // Addresses of the shards, separated by commas.
  std::string shards;
  // The folder of the ledgers.
  std::string folder;
  uint64_t seed = 0;
  // The start of the learner.
  uint64_t incarnation = 1;
  uint32_t horizon = 3;
  // Rows that each shard keeps at most.
  uint64_t capacity_rows = 100000;
  // Rows that each shard is granted in a second, on average.
  uint64_t rows_per_second = 1000;

  // Clients of the shards, in their order. REQUIRES: `shards` are addresses.
  std::vector<std::unique_ptr<ShardClient>> Clients() const {
    std::vector<std::unique_ptr<ShardClient>> clients;
    const auto endpoints = rpc::ParseEndpoints("--shards", shards);
    POMPC_CHECK_OK(endpoints.status());
    for (uint32_t s = 0; s < endpoints->size(); ++s) {
      ShardClientOptions options;
      options.run_id = run_id;
      options.shard_index = s;
      options.shard_count = static_cast<uint32_t>(endpoints->size());
      options.start = {.incarnation = incarnation, .token = 1};
      options.spec.set_observation_size(kSpec.observation_size);
      options.spec.set_action_size(kSpec.action_size);
      options.spec.set_terminates(true);
      options.horizon = horizon;
      options.capacity_rows = capacity_rows;
      options.capacity_bytes = uint64_t{1} << 32;
      options.timeout = absl::Seconds(3);
      clients.push_back(std::make_unique<ShardClient>(
          options, (*endpoints)[s].Channel({.max_reconnect_backoff = absl::Milliseconds(200)})));
    }
    return clients;
  }
};

}  // namespace pompc::replay::ledger

#endif  // POMPC_TESTS_REPLAY_LEDGER_REFEREE_OPTIONS_H_
