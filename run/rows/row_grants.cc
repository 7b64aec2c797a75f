#include "run/rows/row_grants.h"

#include <algorithm>

namespace pompc::run {

void RowGrants::Observe(int shard, uint64_t incarnation, uint64_t accepted_rows, uint64_t bound,
                        uint32_t streams) {
  shards_[shard] = {true, incarnation, accepted_rows, bound, streams};
}

void RowGrants::Lost(int shard) { shards_[shard].known = false; }

void RowGrants::GiveUp(int shard) {
  if (!shards_[shard].known) shards_[shard] = {};
}

uint64_t RowGrants::Kept() const {
  uint64_t sum = 0;
  for (const Shard& shard : shards_) {
    if (!shard.known) sum += shard.Unused();
  }
  return sum;
}

uint64_t RowGrants::Next(int shard, uint64_t remaining) {
  Shard& self = shards_[shard];
  bool takes_part = false;
  const uint64_t sharers = Sharers(shard, &takes_part);
  uint64_t share = 0;
  // Whoever does not answer cannot agree to less, so not even a single row of its is granted twice.
  remaining -= std::min(remaining, Kept());
  if (takes_part && remaining > 0) {
    const uint64_t elsewhere = OutstandingElsewhere(shard);
    const uint64_t free = remaining - std::min(remaining, elsewhere);
    share = std::max<uint64_t>(1, std::min((remaining + sharers - 1) / sharers, free));
  }
  const uint64_t bound = self.accepted + share;
  // A lower bound counts only once the shard has confirmed it.
  self.granted = std::max(self.granted, bound);
  return bound;
}

uint64_t RowGrants::OutstandingElsewhere(int shard) const {
  uint64_t sum = 0;
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (static_cast<int>(i) != shard && shards_[i].known) sum += shards_[i].Unused();
  }
  return sum;
}

int RowGrants::Sharers(int shard, bool* takes_part) const {
  const int known = static_cast<int>(
      std::count_if(shards_.begin(), shards_.end(), [](const Shard& s) { return s.known; }));
  const int written = static_cast<int>(std::count_if(
      shards_.begin(), shards_.end(), [](const Shard& s) { return s.known && s.streams > 0; }));
  *takes_part = written == 0 || shards_[shard].streams > 0;
  return written == 0 ? known : written;
}

}  // namespace pompc::run
