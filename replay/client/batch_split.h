#ifndef POMPC_REPLAY_CLIENT_BATCH_SPLIT_H_
#define POMPC_REPLAY_CLIENT_BATCH_SPLIT_H_

#include <cstdint>
#include <span>
#include <vector>

namespace pompc::replay {

// Splits a batch over shards multinomially by their numbers of valid windows, so that drawing each
// share uniformly within its shard draws the batch uniformly over the union. Returns one share per
// shard; they sum to `batch`, or to 0 when no shard holds a window. A pure function: the same seed
// gives the same split on every machine.
std::vector<uint32_t> SplitBatch(uint32_t batch, std::span<const uint64_t> windows, uint64_t seed);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_BATCH_SPLIT_H_
