#ifndef POMPC_REPLAY_CORE_OPENING_H_
#define POMPC_REPLAY_CORE_OPENING_H_

#include <compare>
#include <cstdint>

namespace pompc::replay {

// Says which rows addresses belong to: those of one shard, in the time since it was opened last.
// After a crash, addresses of rows that were not durable yet are given again.
struct Opening {
  Opening() = default;
  explicit Opening(uint64_t incarnation, uint64_t opening = 1)
      : incarnation(incarnation), opening(opening) {}

  // ShardInfo.shard_incarnation and ShardInfo.opening. Rows in memory alone are opened once.
  uint64_t incarnation = 0;
  uint64_t opening = 1;

  auto operator<=>(const Opening&) const = default;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_OPENING_H_
