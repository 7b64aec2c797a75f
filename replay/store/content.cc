#include "replay/store/content.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "replay/store/records.h"
#include "rocksdb/comparator.h"

namespace pompc::replay {
namespace {

// Names the form of everything below; a change that an older program would misread gets another.
constexpr uint64_t kForm = 1;

constexpr absl::string_view kFormKey = "form", kIncarnationKey = "incarnation",
                            kOpeningKey = "opening", kConfigKey = "config", kGrantKey = "grant",
                            kEvictedKey = "evicted";

// A batch names column families by number. These handles know nothing else, so that records can be
// collected while the database is being opened again.
class FamilyNumber : public rocksdb::ColumnFamilyHandle {
 public:
  explicit FamilyNumber(uint32_t number) : number_(number) {}
  const std::string& GetName() const override { return name_; }
  uint32_t GetID() const override { return number_; }
  rocksdb::Status GetDescriptor(rocksdb::ColumnFamilyDescriptor*) override {
    return rocksdb::Status::NotSupported();
  }
  const rocksdb::Comparator* GetComparator() const override {
    return rocksdb::BytewiseComparator();
  }

 private:
  const uint32_t number_;
  const std::string name_;
};

rocksdb::ColumnFamilyHandle* Number(Family family) {
  static std::array<FamilyNumber, kFamilies> numbers = {
      FamilyNumber(0), FamilyNumber(1), FamilyNumber(2), FamilyNumber(3), FamilyNumber(4)};
  return &numbers[static_cast<size_t>(family)];
}

rocksdb::Slice ToSlice(absl::string_view text) { return {text.data(), text.size()}; }
absl::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

// A batch in memory has no limit that a record could reach.
void Put(Family family, absl::string_view key, absl::string_view value,
         rocksdb::WriteBatch* batch) {
  POMPC_CHECK(batch->Put(Number(family), ToSlice(key), ToSlice(value)).ok());
}

void DeleteRange(Family family, absl::string_view begin, absl::string_view end,
                 rocksdb::WriteBatch* batch) {
  POMPC_CHECK(batch->DeleteRange(Number(family), ToSlice(begin), ToSlice(end)).ok());
}

// Adds each kind of record to a batch.
struct Adder {
  rocksdb::WriteBatch* batch;

  void operator()(const ConfigRecord& record) const {
    Put(Family::kShard, kConfigKey, TextValue(kConfigKey, record.config), batch);
  }

  // The columns go from where they are into the batch; nothing is joined before.
  void operator()(const ChunkRecord& chunk) const {
    std::string header;
    std::array<rocksdb::Slice, kRowColumns + 2> slices;
    const std::vector<absl::string_view> parts = ChunkValue(chunk, &header);
    POMPC_CHECK_LE(parts.size(), slices.size());
    std::transform(parts.begin(), parts.end(), slices.begin(), ToSlice);
    const std::string key = AddressKey(chunk.address);
    const rocksdb::Slice key_slice = key;
    const rocksdb::SliceParts value(slices.data(), static_cast<int>(parts.size()));
    POMPC_CHECK(
        batch->Put(Number(Family::kChunks), rocksdb::SliceParts(&key_slice, 1), value).ok());
  }

  void operator()(const SegmentRecord& segment) const {
    const std::string key = SegmentKey(segment.id);
    Put(Family::kStreams, key, SegmentValue(key, segment), batch);
  }

  void operator()(const ActorRecord& actor) const {
    const uint32_t index = actor.actor_index;
    const std::string key = ActorKey(index);
    Put(Family::kStreams, key, NumberValue(key, actor.incarnation), batch);
    DeleteRange(Family::kStreams, SegmentsKey(index, 0), SegmentsKey(index, actor.incarnation),
                batch);
    const uint32_t last = std::numeric_limits<uint32_t>::max();
    DeleteRange(Family::kStreams, MarkKey(index, 0), MarkKey(index, last) + '\0', batch);
  }

  void operator()(const ForgottenRecord& forgotten) const {
    POMPC_CHECK(batch->Delete(Number(Family::kStreams), SegmentKey(forgotten.segment)).ok());
    const std::string key = MarkKey(forgotten.mark.actor_index, forgotten.mark.environment);
    Put(Family::kStreams, key, MarkValue(key, forgotten.mark), batch);
  }

  void operator()(const PlansRecord& plans) const {
    if (plans.addresses.empty()) return;
    const size_t a = plans.plan_mean.size() / plans.addresses.size();
    for (size_t i = 0; i < plans.addresses.size(); ++i) {
      const std::string key = AddressKey(plans.addresses[i]);
      Put(Family::kPlans, key,
          PlanValue(key, plans.plan_mean.subspan(i * a, a), plans.plan_std.subspan(i * a, a)),
          batch);
    }
  }

  void operator()(const BarredRecord& barred) const {
    for (const uint64_t address : barred.addresses) {
      const std::string key = AddressKey(address);
      Put(Family::kBarred, key, TextValue(key, ""), batch);
    }
  }

  void operator()(const GrantRecord& grant) const {
    Put(Family::kShard, kGrantKey, GrantValue(kGrantKey, grant), batch);
  }

  void operator()(const EvictedRecord& evicted) const {
    Put(Family::kShard, kEvictedKey, NumberValue(kEvictedKey, evicted.oldest), batch);
  }
};

// Reads everything back, in the order that Store::Load promises.
class Loader {
 public:
  Loader(Database* database, bool skip_damaged, const Store::Visitor& visitor)
      : database_(*database), skip_damaged_(skip_damaged), visitor_(visitor) {}

  absl::Status Run() {
    POMPC_RETURN_IF_ERROR(LoadConfig());
    POMPC_RETURN_IF_ERROR(LoadStreams());
    POMPC_RETURN_IF_ERROR(LoadGrant());
    POMPC_RETURN_IF_ERROR(FindEnds());
    POMPC_RETURN_IF_ERROR(Visit(EvictedRecord{oldest_}));
    POMPC_RETURN_IF_ERROR(LoadChunks());
    POMPC_RETURN_IF_ERROR(CheckNewestRows());
    POMPC_RETURN_IF_ERROR(LoadPlans());
    POMPC_RETURN_IF_ERROR(LoadBarred());
    return DeleteOrphans();
  }

 private:
  // Records of plans and windows are handed over so many at a time.
  static constexpr size_t kAtOnce = 1024;

  absl::Status Visit(const StoreRecord& record) { return visitor_(record, loaded_); }

  // What comes of damage: an error that names it, or a line in the log.
  absl::Status Damage(const absl::Status& damage, absl::string_view what) const {
    const absl::Status named = absl::DataLossError(absl::StrCat(what, ": ", damage.message()));
    if (!skip_damaged_) return named;
    Log().error("left out, because it is damaged: {}", std::string(named.message()));
    return absl::OkStatus();
  }

  // A value of kShard, or none.
  template <typename T>
  absl::StatusOr<std::optional<T>> Single(absl::string_view key,
                                          absl::StatusOr<T> (*parse)(absl::string_view,
                                                                     absl::string_view)) {
    absl::StatusOr<std::string> value = database_.Get(Family::kShard, key);
    if (absl::IsNotFound(value.status())) return std::optional<T>();
    absl::Status status = value.status();
    if (status.ok()) {
      single_ = *std::move(value);
      absl::StatusOr<T> parsed = parse(key, single_);
      if (parsed.ok()) return std::optional<T>(*std::move(parsed));
      status = parsed.status();
    }
    POMPC_RETURN_IF_ERROR(Damage(status, absl::StrCat("record \"", key, "\"")));
    return std::optional<T>();
  }

  absl::Status LoadConfig() {
    POMPC_ASSIGN_OR_RETURN(const auto config, Single(kConfigKey, ParseText));
    has_config_ = config.has_value();
    return config.has_value() ? Visit(ConfigRecord{*config}) : absl::OkStatus();
  }

  absl::Status LoadGrant() {
    POMPC_ASSIGN_OR_RETURN(const auto grant, Single(kGrantKey, ParseGrant));
    return grant.has_value() ? Visit(*grant) : absl::OkStatus();
  }

  absl::Status LoadStreams() {
    const auto it = database_.Iterate(Family::kStreams);
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      const absl::string_view key = ToView(it->key());
      const absl::StatusOr<StoreRecord> record = ParseStreamRecord(key, ToView(it->value()));
      if (!record.ok()) {
        POMPC_RETURN_IF_ERROR(Damage(record.status(), absl::StrCat("record of a writer, key ",
                                                                   absl::BytesToHexString(key))));
        continue;
      }
      const auto* const segment = std::get_if<SegmentRecord>(&*record);
      if (segment != nullptr && segment->tail != Table::kNoAddress &&
          segment->tail >= newest_tail_.value_or(0)) {
        newest_tail_ = segment->tail;
        newest_segment_ = segment->id;
      }
      POMPC_RETURN_IF_ERROR(Visit(*record));
    }
    return CheckIterator(*it, "what is known of writers");
  }

  absl::Status CheckIterator(const rocksdb::Iterator& it, absl::string_view what) const {
    if (it.status().ok()) return absl::OkStatus();
    return Damage(database_.Translate(it.status(), "reading"), what);
  }

  // Finds the first address that is not evicted and the one after the last, which stand in the
  // newest chunk.
  absl::Status FindEnds() {
    POMPC_ASSIGN_OR_RETURN(const auto evicted, Single(kEvictedKey, ParseNumber));
    oldest_ = evicted.value_or(0);
    const auto it = database_.Iterate(Family::kChunks);
    // Damaged ones, if they are to be left out, are named when it is their turn.
    for (it->SeekToLast(); it->Valid(); it->Prev()) {
      const absl::StatusOr<ParsedChunk> parsed = ParseChunk(ToView(it->value()));
      if (!parsed.ok()) {
        has_orphans_ = true;
        if (skip_damaged_) continue;
        return Damage(parsed.status(), NameOf(it->key()));
      }
      // Without it nothing can be made of rows, whatever may be left out.
      if (!has_config_) return absl::DataLossError("record \"config\" is damaged or missing");
      end_ = parsed->chunk.address + parsed->chunk.slots();
      oldest_ = std::max(oldest_, parsed->chunk.oldest);
      return absl::OkStatus();
    }
    return CheckIterator(*it, "the newest rows");
  }

  static std::string NameOf(const rocksdb::Slice& key) {
    const absl::StatusOr<uint64_t> address = ParseAddressKey(ToView(key));
    if (address.ok()) return absl::StrCat("record at address ", *address);
    return absl::StrCat("record with key ", absl::BytesToHexString(ToView(key)));
  }

  // Calls `visit` with address and value of each record of the family that is not evicted, and of
  // the one `before` these, where there is one. DATA_LOSS from `visit` is damage of that record.
  template <typename VisitRecord>
  absl::Status ForEach(Family family, absl::string_view what, bool before, VisitRecord visit) {
    const auto it = database_.Iterate(family);
    const std::string key = AddressKey(oldest_);
    if (before) it->SeekForPrev(key);
    if (!it->Valid()) it->Seek(key);
    uint64_t step = 1, last = oldest_;
    for (;;) {
      for (; it->Valid(); it->Next()) {
        const absl::StatusOr<uint64_t> address = ParseAddressKey(ToView(it->key()));
        absl::Status status = address.status();
        if (status.ok()) status = visit(*address, ToView(it->value()));
        if (absl::IsDataLoss(status)) status = Damage(status, NameOf(it->key()));
        POMPC_RETURN_IF_ERROR(status);
        last = address.value_or(last);
        step = 1;
      }
      if (it->status().ok()) return absl::OkStatus();
      // A damaged block hides how many records it holds: whatever is readable behind it is found by
      // steps that grow.
      if (step == 1) POMPC_RETURN_IF_ERROR(CheckIterator(*it, what));
      if (last + step < last || step > uint64_t{1} << 62) return absl::OkStatus();
      it->Seek(AddressKey(last + step));
      step *= 2;
    }
  }

  absl::Status LoadChunks() {
    uint64_t next = oldest_;
    bool first = true;
    const uint64_t all = std::max<uint64_t>(end_ - std::min(end_, oldest_), 1);
    POMPC_RETURN_IF_ERROR(ForEach(
        Family::kChunks, "rows", /*before=*/true,
        [&](uint64_t address, absl::string_view value) -> absl::Status {
          POMPC_ASSIGN_OR_RETURN(const ParsedChunk parsed, ParseChunk(value));
          const ChunkRecord& chunk = parsed.chunk;
          if (chunk.address != address) {
            return absl::DataLossError(absl::StrCat("it is of address ", chunk.address));
          }
          // Nothing but evicted rows: the chunk before the frontier, where one is missing.
          if (address + chunk.slots() <= oldest_) return absl::OkStatus();
          if (first ? address > oldest_ : address != next)
            POMPC_RETURN_IF_ERROR(Gap(next, address));
          first = false;
          next = address + chunk.slots();
          loaded_ = std::min(1.0, static_cast<double>(next - oldest_) / static_cast<double>(all));
          return Visit(chunk);
        }));
    end_ = next;
    return absl::OkStatus();
  }

  absl::Status Gap(uint64_t begin, uint64_t end) const {
    return Damage(absl::DataLossError("they are missing"),
                  absl::StrCat("rows with addresses ", begin, " to ", end - 1));
  }

  // Rows and what is known of their segments are written together, but stand in different files.
  absl::Status CheckNewestRows() const {
    if (newest_tail_.value_or(0) < end_ || !newest_tail_.has_value()) return absl::OkStatus();
    return Damage(absl::DataLossError(absl::StrCat("rows end at address ", end_, ", but ",
                                                   newest_segment_.ToString(), " has a row at ",
                                                   *newest_tail_)),
                  "the newest rows");
  }

  absl::Status LoadPlans() {
    std::vector<uint64_t> addresses;
    std::vector<float> mean, std;
    const auto flush = [&]() -> absl::Status {
      const absl::Status status =
          addresses.empty() ? absl::OkStatus() : Visit(PlansRecord{addresses, mean, std});
      addresses.clear(), mean.clear(), std.clear();
      return status;
    };
    POMPC_RETURN_IF_ERROR(ForEach(Family::kPlans, "plans", /*before=*/false,
                                  [&](uint64_t address, absl::string_view value) -> absl::Status {
                                    if (IsOrphan(address)) return absl::OkStatus();
                                    POMPC_ASSIGN_OR_RETURN(const ParsedPlan plan,
                                                           ParsePlan(AddressKey(address), value));
                                    addresses.push_back(address);
                                    mean.insert(mean.end(), plan.mean.begin(), plan.mean.end());
                                    std.insert(std.end(), plan.std.begin(), plan.std.end());
                                    return addresses.size() < kAtOnce ? absl::OkStatus() : flush();
                                  }));
    return flush();
  }

  absl::Status LoadBarred() {
    std::vector<uint64_t> addresses;
    const auto flush = [&]() -> absl::Status {
      const absl::Status status =
          addresses.empty() ? absl::OkStatus() : Visit(BarredRecord{addresses});
      addresses.clear();
      return status;
    };
    POMPC_RETURN_IF_ERROR(ForEach(Family::kBarred, "barred windows", /*before=*/false,
                                  [&](uint64_t address, absl::string_view value) -> absl::Status {
                                    if (IsOrphan(address)) return absl::OkStatus();
                                    POMPC_RETURN_IF_ERROR(
                                        ParseText(AddressKey(address), value).status());
                                    addresses.push_back(address);
                                    return addresses.size() < kAtOnce ? absl::OkStatus() : flush();
                                  }));
    return flush();
  }

  // True for what is recorded of rows behind the newest that could be read. Other rows will get
  // their addresses, so it is deleted.
  bool IsOrphan(uint64_t address) {
    has_orphans_ |= address >= end_;
    return address >= end_;
  }

  absl::Status DeleteOrphans() {
    if (!has_orphans_) return absl::OkStatus();
    rocksdb::WriteBatch batch;
    for (const Family family : {Family::kChunks, Family::kPlans, Family::kBarred}) {
      DeleteRange(family, AddressKey(end_), AddressKey(~uint64_t{0}) + '\0', &batch);
    }
    return database_.Write(&batch, /*sync=*/true);
  }

  Database& database_;
  const bool skip_damaged_;
  const Store::Visitor& visitor_;
  std::string single_;
  // Rows stand from oldest_ to before end_.
  uint64_t oldest_ = 0, end_ = 0;
  double loaded_ = 0;
  bool has_config_ = false, has_orphans_ = false;
  std::optional<uint64_t> newest_tail_;
  SegmentId newest_segment_;
};

absl::StatusOr<std::optional<uint64_t>> ReadNumber(const Database& database,
                                                   absl::string_view key) {
  const absl::StatusOr<std::string> value = database.Get(Family::kShard, key);
  if (absl::IsNotFound(value.status())) return std::optional<uint64_t>();
  POMPC_RETURN_IF_ERROR(value.status());
  const absl::StatusOr<uint64_t> number = ParseNumber(key, *value);
  if (!number.ok()) return Annotate(number.status(), absl::StrCat("record \"", key, "\""));
  return std::optional<uint64_t>(*number);
}

}  // namespace

absl::StatusOr<StoreIdentity> OpenIdentity(Database* database, uint64_t new_incarnation) {
  POMPC_ASSIGN_OR_RETURN(const auto form, ReadNumber(*database, kFormKey));
  POMPC_ASSIGN_OR_RETURN(const auto incarnation, ReadNumber(*database, kIncarnationKey));
  POMPC_ASSIGN_OR_RETURN(const auto opening, ReadNumber(*database, kOpeningKey));
  if (form.value_or(kForm) != kForm) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the data is of form ", *form, "; this version of pompc-replay reads form ", kForm));
  }
  if (!incarnation.has_value()) {
    const auto it = database->Iterate(Family::kChunks);
    it->SeekToFirst();
    if (it->Valid() || !it->status().ok()) {
      return absl::DataLossError("there are rows, but the record \"incarnation\" is missing");
    }
  }
  const StoreIdentity identity = {incarnation.value_or(new_incarnation), opening.value_or(0) + 1};
  rocksdb::WriteBatch batch;
  Put(Family::kShard, kFormKey, NumberValue(kFormKey, kForm), &batch);
  Put(Family::kShard, kIncarnationKey, NumberValue(kIncarnationKey, identity.incarnation), &batch);
  Put(Family::kShard, kOpeningKey, NumberValue(kOpeningKey, identity.opening), &batch);
  POMPC_RETURN_IF_ERROR(database->Write(&batch, /*sync=*/true));
  return identity;
}

absl::StatusOr<uint64_t> SkipOpenings(Database* database, uint64_t count) {
  POMPC_ASSIGN_OR_RETURN(const auto opening, ReadNumber(*database, kOpeningKey));
  const uint64_t skipped = opening.value_or(0) + count;
  rocksdb::WriteBatch batch;
  Put(Family::kShard, kOpeningKey, NumberValue(kOpeningKey, skipped), &batch);
  POMPC_RETURN_IF_ERROR(database->Write(&batch, /*sync=*/true));
  return skipped + 1;
}

void AddRecord(const StoreRecord& record, rocksdb::WriteBatch* batch) {
  std::visit(Adder{batch}, record);
}

// From the first address on: a store that was opened again does not know how far the one before it
// had come.
void AddEviction(uint64_t end, uint64_t oldest, rocksdb::WriteBatch* batch) {
  POMPC_CHECK_LE(end, oldest);
  AddRecord(EvictedRecord{oldest}, batch);
  for (const Family family : {Family::kPlans, Family::kBarred}) {
    DeleteRange(family, AddressKey(0), AddressKey(end), batch);
  }
}

// Files whose chunks all lie before the one that row `end` is in.
absl::Status DropEvictedChunks(Database* database, uint64_t end) {
  const auto it = database->Iterate(Family::kChunks);
  it->SeekForPrev(AddressKey(end));
  if (!it->Valid()) return database->Translate(it->status(), "looking for evicted rows");
  return database->DropChunksBefore(ToView(it->key()));
}

absl::Status LoadContent(Database* database, bool skip_damaged, const Store::Visitor& visitor) {
  return Loader(database, skip_damaged, visitor).Run();
}

}  // namespace pompc::replay
