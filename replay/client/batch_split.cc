#include "replay/client/batch_split.h"

#include <algorithm>
#include <numeric>

#include "common/base/check.h"
#include "replay/core/random.h"

namespace pompc::replay {

std::vector<uint32_t> SplitBatch(uint32_t batch, std::span<const uint64_t> windows, uint64_t seed) {
  std::vector<uint32_t> shares(windows.size(), 0);
  // cumulative[i]: windows of shards 0 .. i. Each draw picks one window of the union.
  std::vector<uint64_t> cumulative(windows.size());
  std::partial_sum(windows.begin(), windows.end(), cumulative.begin());
  if (cumulative.empty() || cumulative.back() == 0) return shares;
  Random random(seed);
  for (uint32_t i = 0; i < batch; ++i) {
    const uint64_t window = random.Below(cumulative.back());
    const auto shard = std::upper_bound(cumulative.begin(), cumulative.end(), window);
    POMPC_DCHECK(shard != cumulative.end());
    ++shares[shard - cumulative.begin()];
  }
  return shares;
}

}  // namespace pompc::replay
