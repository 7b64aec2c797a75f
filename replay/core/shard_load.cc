// This part of Shard gives it back what its store holds.
#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "replay/core/shard.h"

namespace pompc::replay {

// Takes the records in the order of Store::Load. The shard's mutex is held for one record at a
// time, so that others can ask how far loading is.
class Shard::Loader {
 public:
  Loader(Shard* shard, const ReadConfig& read_config)
      : shard_(*shard), read_config_(read_config) {}

  absl::Status Load(const StoreRecord& record, double loaded) {
    MutexLock lock(&shard_.mu_);
    if (shard_.closed_) return absl::CancelledError("the shard is closing");
    shard_.loaded_ = loaded;
    return std::visit(
        [this](const auto& content) {
          shard_.mu_.AssertHeld();
          return Take(content);
        },
        record);
  }

  void Finish() {
    MutexLock lock(&shard_.mu_);
    // Addresses of evicted rows are not given again, even where no row is left.
    if (shard_.table_ != nullptr && !started_) shard_.table_->StartAt(oldest_);
    // If the newest rows were damaged, nobody knows how far their segments had come.
    for (SegmentRecord& segment : segments_) {
      const bool gone = shard_.table_ == nullptr || segment.tail >= shard_.table_->next();
      if (gone) segment.tail = Table::kNoAddress;
    }
    shard_.streams_.Restore(std::move(segments_));
    shard_.limiter_.Restore(shard_.accepted_rows_, grant_.seed_phase_over, grant_.newest_version,
                            shard_.clock_->Now());
    shard_.ready_ = true;
    shard_.UpdateOpen();
  }

 private:
  absl::Status Take(const ConfigRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    POMPC_ASSIGN_OR_RETURN(const ShardConfig config, read_config_(std::string(record.config)));
    POMPC_RETURN_IF_ERROR(shard_.MakeTable(config));
    shard_.config_ = std::make_shared<const ShardConfig>(config);
    return absl::OkStatus();
  }

  absl::Status Take(const ActorRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    shard_.streams_.Restore(record);
    return absl::OkStatus();
  }

  absl::Status Take(const ForgottenRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    shard_.streams_.Restore(record);
    return absl::OkStatus();
  }

  // Segments are restored together, when all are known.
  absl::Status Take(const SegmentRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    segments_.push_back(record);
    return absl::OkStatus();
  }

  absl::Status Take(const GrantRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    grant_ = record;
    return absl::OkStatus();
  }

  absl::Status Take(const EvictedRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    oldest_ = record.oldest;
    return absl::OkStatus();
  }

  // Rows from disk are checked as those from a network are, but for what a run may have changed
  // since.
  absl::Status CheckRows(const ChunkRecord& chunk) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    if (shard_.table_ == nullptr) return absl::DataLossError("there are rows, but no config");
    if (chunk.spec != shard_.table_->spec()) {
      return absl::DataLossError(absl::StrCat(
          "its rows have ", chunk.spec.observation_size, " and ", chunk.spec.action_size,
          " numbers, those of the config ", shard_.table_->spec().observation_size, " and ",
          shard_.table_->spec().action_size));
    }
    const absl::Status values =
        CheckValues(chunk.spec, RowLimits(), chunk.rows, chunk.begin, chunk.first_row);
    return values.ok() ? values : absl::DataLossError(values.message());
  }

  absl::Status Take(const ChunkRecord& chunk) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    POMPC_RETURN_IF_ERROR(CheckRows(chunk));
    Table& table = *shard_.table_;
    const uint64_t start = std::max(oldest_, chunk.address);
    if (!started_) table.StartAt(start);
    started_ = true;
    if (chunk.address > table.next()) FillGap(chunk.address);
    // A chunk through which the frontier runs gives only the rows behind it.
    const uint64_t skip = table.next() - chunk.address;
    if (skip >= chunk.slots()) return absl::DataLossError("its rows are there already");
    uint64_t tail = skip > 0 ? chunk.address + skip - 1 : chunk.previous;
    if (IsInGap(tail)) tail = Table::kNoAddress;
    const auto begin = static_cast<uint32_t>(std::min<uint64_t>(skip, chunk.rows.count));
    const auto slot = static_cast<uint32_t>(skip);
    table.Append({chunk.segment, chunk.first_row, chunk.rows, begin, slot}, &tail);
    shard_.accepted_rows_ = chunk.accepted_rows;
    shard_.planned_rows_ = chunk.planned_rows;
    shard_.imported_rows_ = chunk.imported_rows;
    return absl::OkStatus();
  }

  // Damaged rows were left out. Their addresses are taken by final observations of nothing, which
  // are in no window, so that the other rows keep theirs.
  void FillGap(uint64_t end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    Table& table = *shard_.table_;
    gaps_.emplace_back(table.next(), end);
    const std::vector<float> zeros(table.spec().observation_size);
    RowView nothing;
    nothing.count = 0;
    nothing.final_observation = zeros;
    while (table.next() < end) {
      uint64_t tail = Table::kNoAddress;
      table.Append({SegmentId(), 0, nothing, 0, StoredChunk::kNoRecord}, &tail);
    }
  }

  bool IsInGap(uint64_t address) const {
    return std::any_of(gaps_.begin(), gaps_.end(), [address](const auto& gap) {
      return gap.first <= address && address < gap.second;
    });
  }

  absl::Status Take(const PlansRecord& plans) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    if (shard_.table_ == nullptr) return absl::DataLossError("there are plans, but no config");
    const absl::Status status = CheckPlans(shard_.table_->spec(), RowLimits(),
                                           plans.addresses.size(), plans.plan_mean, plans.plan_std);
    if (!status.ok()) return absl::DataLossError(status.message());
    shard_.table_->UpdatePlans(plans.addresses, plans.plan_mean, plans.plan_std);
    return absl::OkStatus();
  }

  absl::Status Take(const BarredRecord& barred) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard_.mu_) {
    if (shard_.table_ == nullptr) return absl::DataLossError("there are windows, but no config");
    shard_.table_->Bar(barred.addresses);
    return absl::OkStatus();
  }

  Shard& shard_;
  const ReadConfig& read_config_;
  uint64_t oldest_ = 0;
  bool started_ = false;
  GrantRecord grant_;
  std::vector<SegmentRecord> segments_;
  // Addresses without rows: from the first to before the second.
  std::vector<std::pair<uint64_t, uint64_t>> gaps_;
};

absl::Status Shard::Load(const ReadConfig& read_config) {
  POMPC_CHECK(store_->persistent());
  {
    MutexLock lock(&mu_);
    POMPC_CHECK(!ready_, "loaded twice");
  }
  Loader loader(this, read_config);
  POMPC_RETURN_IF_ERROR(store_->Load([&loader](const StoreRecord& record, double loaded) {
    return loader.Load(record, loaded);
  }));
  loader.Finish();
  return absl::OkStatus();
}

}  // namespace pompc::replay
