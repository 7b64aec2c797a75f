#ifndef POMPC_REPLAY_STORE_ROCKS_ROWS_H_
#define POMPC_REPLAY_STORE_ROCKS_ROWS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/shared_mutex.h"
#include "replay/core/disk_rows.h"
#include "replay/core/store_record.h"
#include "replay/store/database.h"
#include "replay/store/records.h"

namespace pompc::replay {

// The rows in a store's database. Chunks, and plans that replaced theirs, are kept in memory from
// the moment in which they come until they are in the database; the store bounds the bytes of what
// waits. Thread-safe.
class RocksRows : public DiskRows {
 public:
  // `database` must outlive this object.
  explicit RocksRows(const Database* database) : database_(*database) {}

  void Write(uint64_t address, const RowSpec& spec, const StoredChunk& chunk) override;
  absl::Status Read(const RowSpec& spec, std::span<const Place> places,
                    const Visitor& visit) const override;
  ReadPins& pins() override { return pins_; }

  // These plans stand in record number `record` of the store.
  void WritePlans(uint64_t record, const PlansRecord& plans);
  // The database has all records up to this number, and the chunks of all rows before `end`.
  void Written(uint64_t record, uint64_t end);

 private:
  using Chunk = std::shared_ptr<const ParsedChunk>;
  using Plan = std::shared_ptr<const ParsedPlan>;
  struct WaitingPlan {
    uint64_t record = 0;
    Plan plan;
  };
  // A row that is wanted: the address of its chunk, and its number among `places`.
  using Wanted = std::pair<uint64_t, uint32_t>;
  class Reading;

  Chunk FindWaiting(uint64_t chunk) const;
  Plan FindWaitingPlan(uint64_t address) const;

  const Database& database_;
  ReadPins pins_;

  mutable SharedMutex mu_;
  std::map<uint64_t, Chunk> chunks_ ABSL_GUARDED_BY(mu_);
  std::unordered_map<uint64_t, WaitingPlan> plans_ ABSL_GUARDED_BY(mu_);
  // Record and address of each plan, in the order in which they came.
  std::deque<std::pair<uint64_t, uint64_t>> plan_order_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_ROCKS_ROWS_H_
