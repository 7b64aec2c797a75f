#include "run/rows/row_grants.h"

#include <algorithm>
#include <limits>

#include "common/base/check.h"

namespace pompc::run {

RowGrants::RowGrants(int num_shards) : shards_(num_shards) { POMPC_CHECK_GE(num_shards, 1); }

RowGrants::Shard& RowGrants::At(int shard) {
  POMPC_CHECK_GE(shard, 0);
  POMPC_CHECK_LT(shard, static_cast<int>(shards_.size()));
  return shards_[shard];
}

void RowGrants::Observe(int shard, uint64_t incarnation, uint64_t accepted_rows, uint64_t bound,
                        uint32_t streams) {
  At(shard) = {true, incarnation, accepted_rows, bound, streams};
}

void RowGrants::Lost(int shard) { At(shard).known = false; }

void RowGrants::GiveUp(int shard) {
  if (!At(shard).known) At(shard) = {};
}

uint64_t RowGrants::Kept() const {
  uint64_t sum = 0;
  for (const Shard& shard : shards_) {
    if (!shard.known) sum += shard.Unused();
  }
  return sum;
}

uint64_t RowGrants::Next(int shard, uint64_t remaining) {
  Shard& self = At(shard);
  POMPC_CHECK(self.known, "a shard that does not answer is granted nothing");
  bool takes_part = false;
  const uint64_t sharers = Sharers(shard, &takes_part);
  uint64_t share = 0;
  // Whoever does not answer cannot agree to less, so not even a single row of its is granted twice.
  const uint64_t open = remaining - std::min(remaining, Kept());
  if (takes_part && open > 0) {
    // An even share, but no more than what others have not been granted already: they may use all
    // of it before they hear of less.
    const uint64_t free = open - std::min(open, OutstandingElsewhere(shard));
    const uint64_t even = open / sharers + (open % sharers > 0 ? 1 : 0);
    share = std::max<uint64_t>(1, std::min(even, free));
  }
  // A shard may say that it has accepted any number.
  share = std::min(share, std::numeric_limits<uint64_t>::max() - self.accepted);
  const uint64_t bound = self.accepted + share;
  // A lower bound counts only once the shard has confirmed it.
  self.granted = std::max(self.granted, bound);
  CheckInvariants(shard, share, remaining);
  return bound;
}

void RowGrants::CheckInvariants(int shard, uint64_t share, uint64_t remaining) const {
  const Shard& self = shards_[shard];
  POMPC_CHECK_GE(self.granted, self.accepted);
  POMPC_CHECK_GE(self.Unused(), share);
  // But for the one row without which a shard could starve, what is out stays within the bound.
  POMPC_CHECK(share <= 1 || Kept() + OutstandingElsewhere(shard) + share <= remaining,
              "more rows are out than the run may take");
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
  // Shards that nobody writes to would hold their share for nothing. Where none is written to, all
  // share: the first writer may come to any of them.
  const int written = static_cast<int>(std::count_if(
      shards_.begin(), shards_.end(), [](const Shard& s) { return s.known && s.streams > 0; }));
  *takes_part = written == 0 || shards_[shard].streams > 0;
  return written == 0 ? known : written;
}

}  // namespace pompc::run
