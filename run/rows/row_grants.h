#ifndef POMPC_RUN_ROWS_ROW_GRANTS_H_
#define POMPC_RUN_ROWS_ROW_GRANTS_H_

#include <cstdint>
#include <vector>

namespace pompc::run {

// Splits the run's bound on rows over its shards, which count rows only in their own memory. What
// one shard was granted and has not used cannot be granted to another until that shard has agreed
// to less; so the sum of all grants keeps the run's bound (exceeding it by one row per shard at
// most, without which a bound smaller than the number of shards could starve the one shard that is
// written to). Not thread-safe.
class RowGrants {
 public:
  // REQUIRES: num_shards >= 1.
  explicit RowGrants(int num_shards);

  // A shard's own account: rows accepted by memory `incarnation`, the bound it now keeps, and the
  // number of writers' streams it serves.
  void Observe(int shard, uint64_t incarnation, uint64_t accepted_rows, uint64_t bound,
               uint32_t streams);
  // The shard does not answer. Writers may reach it even so, so what it was granted and has not
  // used is kept for it, until it answers again or is given up.
  void Lost(int shard);
  // A lost shard is not expected to take anything any more: what was kept for it goes to the
  // others. Nothing happens to one that answers.
  void GiveUp(int shard);
  // Rows kept for shards that are lost.
  uint64_t Kept() const;
  // Rows that any shard was granted and, as far as is known, has not used; those kept included.
  uint64_t Outstanding() const { return Kept() + OutstandingElsewhere(-1); }

  // The bound to send to `shard` now, in rows ever accepted by its present memory: its share of
  // `remaining`, the rows the run may still take. Remembered as granted. Shards without streams get
  // nothing while others have some. REQUIRES: Observe(shard) since it was last lost.
  uint64_t Next(int shard, uint64_t remaining);

 private:
  struct Shard {
    // It answers.
    bool known = false;
    uint64_t incarnation = 0;
    uint64_t accepted = 0;
    // The largest bound the shard may be keeping now.
    uint64_t granted = 0;
    uint32_t streams = 0;

    uint64_t Unused() const { return granted > accepted ? granted - accepted : 0; }
  };

  Shard& At(int shard);
  // What must hold after a shard was granted its `share` of `remaining` rows.
  void CheckInvariants(int shard, uint64_t share, uint64_t remaining) const;
  // Rows granted to other shards that answer, which they have not used.
  uint64_t OutstandingElsewhere(int shard) const;
  // Shards that share the rows; `shard` is one of them or gets nothing.
  int Sharers(int shard, bool* takes_part) const;

  std::vector<Shard> shards_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_ROWS_ROW_GRANTS_H_
