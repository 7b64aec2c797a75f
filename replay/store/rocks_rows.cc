#include "replay/store/rocks_rows.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::replay {
namespace {

// Chunks that are read at once. Their blocks are in memory together, whatever the cache holds.
constexpr size_t kChunksAtOnce = 32;
constexpr size_t kPlansAtOnce = 256;

absl::Status DamagedChunk(uint64_t address, absl::string_view how) {
  return absl::DataLossError(absl::StrCat("the rows stored at address ", address, ": ", how));
}

}  // namespace

// One call of Read. What waits to be written is looked for first and the database second: a chunk
// that is in the one no more is in the other already.
class RocksRows::Reading {
 public:
  Reading(const RocksRows& rows, const RowSpec& spec, std::span<const Place> places,
          const Visitor& visit)
      : rows_(rows), spec_(spec), places_(places), visit_(visit) {}

  absl::Status Run() {
    wanted_.reserve(places_.size());
    for (uint32_t i = 0; i < places_.size(); ++i) {
      wanted_.emplace_back(places_[i].address - places_[i].slot, i);
    }
    std::sort(wanted_.begin(), wanted_.end());
    POMPC_RETURN_IF_ERROR(ReadPlans());
    MakeFinalRow();
    for (size_t begin = 0; begin < wanted_.size();) begin = VisitWaiting(begin);
    for (size_t begin = 0; begin < absent_.size(); begin += kChunksAtOnce) {
      POMPC_RETURN_IF_ERROR(VisitStored(
          std::span(absent_).subspan(begin, std::min(kChunksAtOnce, absent_.size() - begin))));
    }
    return absl::OkStatus();
  }

 private:
  // First and last + 1 of the wanted rows of one chunk.
  struct Range {
    size_t begin = 0, end = 0;
  };

  // A row whose plan was replaced while its place was noted may have none yet: then its own is the
  // present one.
  absl::Status ReadPlans() {
    std::vector<uint64_t> addresses;
    for (const Wanted& wanted : wanted_) {
      const Place& place = places_[wanted.second];
      if (!place.replanned) continue;
      if (Plan plan = rows_.FindWaitingPlan(place.address); plan != nullptr) {
        plans_[place.address] = std::move(plan);
      } else {
        addresses.push_back(place.address);
      }
    }
    std::sort(addresses.begin(), addresses.end());
    addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
    for (size_t begin = 0; begin < addresses.size(); begin += kPlansAtOnce) {
      POMPC_RETURN_IF_ERROR(ReadStoredPlans(
          std::span(addresses).subspan(begin, std::min(kPlansAtOnce, addresses.size() - begin))));
    }
    return absl::OkStatus();
  }

  absl::Status ReadStoredPlans(std::span<const uint64_t> addresses) {
    std::vector<std::string> keys;
    for (const uint64_t address : addresses) keys.push_back(AddressKey(address));
    const auto visit = [&](size_t i, const absl::StatusOr<absl::string_view>& value) {
      absl::Status status = value.status();
      if (absl::IsNotFound(status)) return absl::OkStatus();
      if (status.ok()) {
        absl::StatusOr<ParsedPlan> plan = ParsePlan(keys[i], *value);
        status = plan.status();
        if (plan.ok() && plan->mean.size() != spec_.action_size) {
          status = absl::DataLossError("it is of another size");
        }
        if (status.ok()) plans_[addresses[i]] = std::make_shared<ParsedPlan>(*std::move(plan));
      }
      if (!absl::IsDataLoss(status)) return status;
      return absl::DataLossError(
          absl::StrCat("the plan stored for address ", addresses[i], ": ", status.message()));
    };
    return rows_.database_.MultiGet(Family::kPlans, keys, visit);
  }

  // The columns of a final observation but for the observation.
  void MakeFinalRow() {
    for (size_t c = 0; c < kRowColumns; ++c) {
      fillers_[c].resize(kColumns[c].bytes(spec_));
      WriteFiller(kColumns[c], spec_, fillers_[c].data());
    }
  }

  // Visits the rows of the chunk of wanted row `begin` if that waits to be written. Returns the
  // first row of the next chunk.
  size_t VisitWaiting(size_t begin) {
    Range range{begin, begin};
    while (range.end < wanted_.size() && wanted_[range.end].first == wanted_[begin].first) {
      ++range.end;
    }
    const Chunk chunk = rows_.FindWaiting(wanted_[begin].first);
    if (chunk == nullptr) {
      absent_.push_back(range);
    } else {
      POMPC_CHECK_OK(VisitRows(chunk->chunk, range));
    }
    return range.end;
  }

  absl::Status VisitStored(std::span<const Range> ranges) {
    std::vector<std::string> keys;
    for (const Range& range : ranges) keys.push_back(AddressKey(wanted_[range.begin].first));
    const auto visit = [&](size_t i, const absl::StatusOr<absl::string_view>& value) {
      const uint64_t address = wanted_[ranges[i].begin].first;
      if (absl::IsNotFound(value.status())) return DamagedChunk(address, "they are missing");
      absl::Status status = value.status();
      if (status.ok()) {
        const absl::StatusOr<ChunkRecord> chunk = ViewChunk(*value);
        status = chunk.ok() ? Check(*chunk, address) : chunk.status();
        if (status.ok()) return VisitRows(*chunk, ranges[i]);
      }
      return absl::IsDataLoss(status) ? DamagedChunk(address, status.message()) : status;
    };
    return rows_.database_.MultiGet(Family::kChunks, keys, visit);
  }

  absl::Status Check(const ChunkRecord& chunk, uint64_t address) const {
    if (chunk.address != address) {
      return absl::DataLossError(absl::StrCat("they are of address ", chunk.address));
    }
    if (chunk.spec == spec_) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("they have ", chunk.spec.observation_size, " and ",
                                            chunk.spec.action_size, " numbers"));
  }

  absl::Status VisitRows(const ChunkRecord& chunk, const Range& range) const {
    for (size_t i = range.begin; i < range.end; ++i) {
      const uint32_t number = wanted_[i].second;
      const Place& place = places_[number];
      if (place.slot >= chunk.slots()) {
        return DamagedChunk(chunk.address, absl::StrCat("they are ", chunk.slots(),
                                                        ", too few for address ", place.address));
      }
      visit_(number, BytesOf(chunk, place));
    }
    return absl::OkStatus();
  }

  Bytes BytesOf(const ChunkRecord& chunk, const Place& place) const {
    constexpr ColumnOf<float> kObservations = "observations", kMean = "plan_mean",
                              kStd = "plan_std";
    constexpr ColumnOf<uint8_t> kHasPlan = "has_plan";
    static constexpr std::byte kTrue{1};
    const bool is_final = place.slot == chunk.rows.count;
    Bytes bytes;
    for (size_t c = 0; c < kRowColumns; ++c) {
      bytes[c] = is_final ? fillers_[c].data()
                          : chunk.rows.columns[c].data() + place.slot * kColumns[c].bytes(spec_);
    }
    if (is_final) {
      bytes[kObservations.index] =
          reinterpret_cast<const std::byte*>(chunk.rows.final_observation.data());
    }
    if (!place.replanned) return bytes;
    const auto plan = plans_.find(place.address);
    if (plan == plans_.end()) return bytes;
    bytes[kMean.index] = reinterpret_cast<const std::byte*>(plan->second->mean.data());
    bytes[kStd.index] = reinterpret_cast<const std::byte*>(plan->second->std.data());
    bytes[kHasPlan.index] = &kTrue;
    return bytes;
  }

  const RocksRows& rows_;
  const RowSpec spec_;
  const std::span<const Place> places_;
  const Visitor& visit_;
  // Rows of a chunk stand together.
  std::vector<Wanted> wanted_;
  std::vector<Range> absent_;
  std::unordered_map<uint64_t, Plan> plans_;
  std::array<std::vector<std::byte>, kRowColumns> fillers_;
};

void RocksRows::Write(uint64_t address, const RowSpec& spec, const StoredChunk& chunk) {
  const auto copy = std::make_shared<const ParsedChunk>(CopyChunk({.segment = chunk.segment,
                                                                   .spec = spec,
                                                                   .first_row = chunk.first_row,
                                                                   .rows = chunk.rows,
                                                                   .begin = chunk.begin,
                                                                   .address = address}));
  WriterLock lock(&mu_);
  POMPC_CHECK(chunks_.empty() || chunks_.rbegin()->first < address, "addresses go up");
  chunks_.emplace_hint(chunks_.end(), address, copy);
}

absl::Status RocksRows::Read(const RowSpec& spec, std::span<const Place> places,
                             const Visitor& visit) const {
  return Reading(*this, spec, places, visit).Run();
}

RocksRows::Chunk RocksRows::FindWaiting(uint64_t chunk) const {
  ReaderLock lock(&mu_);
  const auto found = chunks_.find(chunk);
  return found == chunks_.end() ? nullptr : found->second;
}

RocksRows::Plan RocksRows::FindWaitingPlan(uint64_t address) const {
  ReaderLock lock(&mu_);
  const auto found = plans_.find(address);
  return found == plans_.end() ? nullptr : found->second.plan;
}

void RocksRows::WritePlans(uint64_t record, const PlansRecord& plans) {
  if (plans.addresses.empty()) return;
  const size_t a = plans.plan_mean.size() / plans.addresses.size();
  WriterLock lock(&mu_);
  for (size_t i = 0; i < plans.addresses.size(); ++i) {
    const auto mean = plans.plan_mean.subspan(i * a, a), std = plans.plan_std.subspan(i * a, a);
    auto plan = std::make_shared<ParsedPlan>();
    plan->mean.assign(mean.begin(), mean.end());
    plan->std.assign(std.begin(), std.end());
    plans_[plans.addresses[i]] = {record, std::move(plan)};
    plan_order_.emplace_back(record, plans.addresses[i]);
  }
}

void RocksRows::Written(uint64_t record, uint64_t end) {
  WriterLock lock(&mu_);
  chunks_.erase(chunks_.begin(), chunks_.lower_bound(end));
  for (; !plan_order_.empty() && plan_order_.front().first <= record; plan_order_.pop_front()) {
    // One that came later may have replaced it.
    const auto plan = plans_.find(plan_order_.front().second);
    if (plan != plans_.end() && plan->second.record <= record) plans_.erase(plan);
  }
}

}  // namespace pompc::replay
