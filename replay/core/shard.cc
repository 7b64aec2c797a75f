#include "replay/core/shard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/process/log.h"

namespace pompc::replay {
namespace {

using Kind = AppendOutcome::Kind;

// What may be done where the rows are of another kind.
constexpr char kRemedy[] =
    "; a shard keeps this for as long as its rows live: give this run another shard, or start the "
    "shard without them (another --data-dir, or a restart where it has none)";

absl::Status Differs(const char* what, uint64_t have, uint64_t want) {
  if (have == want) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("shard is open for ", what, " ", have, ", not ", want, kRemedy));
}

absl::Status CheckRun(const std::string& have, const std::string& want) {
  if (have == want) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("shard is open for run ", have, ", not ", want,
                                                    kRemedy,
                                                    ", or give the --run-dir of that run"));
}

absl::Status CheckShardCount(uint32_t have, uint32_t want) {
  if (have == want) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("shard is one of ", have, ", now of ", want, " (--replay, --shards)", kRemedy));
}

// FAILED_PRECONDITION naming the first value in which rows for `want` are of another kind than
// those that the shard holds.
absl::Status CheckSameRows(const ShardConfig& have, const ShardConfig& want) {
  const RowSpec &h = have.table.spec, &w = want.table.spec;
  POMPC_RETURN_IF_ERROR(CheckShardCount(have.shard_count, want.shard_count));
  POMPC_RETURN_IF_ERROR(Differs("shard index", have.shard_index, want.shard_index));
  POMPC_RETURN_IF_ERROR(Differs("observation size", h.observation_size, w.observation_size));
  return Differs("action size", h.action_size, w.action_size);
}

// Names what is applied, for the log.
std::string Changes(const ShardConfig& have, const ShardConfig& want) {
  std::vector<std::string> changes;
  const auto compare = [&](const char* what, uint64_t before, uint64_t now) {
    if (before != now) changes.push_back(absl::StrCat(what, " ", now, " instead of ", before));
  };
  compare("horizon", have.table.horizon, want.table.horizon);
  compare("capacity in rows", have.table.capacity_rows, want.table.capacity_rows);
  compare("capacity in bytes", have.table.capacity_bytes, want.table.capacity_bytes);
  const std::string before = ToText(have.table.tables), now = ToText(want.table.tables);
  if (before != now) changes.push_back(absl::StrCat("tables ", now, " instead of ", before));
  return absl::StrJoin(changes, ", ");
}

SegmentRecord RecordOf(const SegmentId& id, const Streams::Segment& segment, uint64_t next) {
  return {.id = id,
          .next_row = segment.next_row,
          .ended = segment.ended,
          .terminated = segment.terminated,
          .refused = segment.refused,
          .tail = segment.tail,
          .changed_at = next};
}

SegmentId ImportedSegment(uint32_t data_set, uint64_t episode) {
  return {.actor_index = SegmentId::kImportActor,
          .incarnation = 1,
          .environment = data_set,
          .episode = episode,
          .segment = 0};
}

}  // namespace

Shard::Shard(uint64_t incarnation, Clock* clock, std::unique_ptr<Store> store)
    : incarnation_(incarnation),
      clock_(clock),
      store_(std::move(store)),
      activity_(clock),
      ready_(!store_->persistent()),
      streams_(Streams::Options(),
               store_->persistent()
                   ? Streams::Recorder([this](const StoreRecord& record) { Record(record); })
                   : nullptr) {
  store_->OnChange([this] { WakeAll(); });
}

Shard::~Shard() {
  Close();
  store_->OnChange(nullptr);
  store_.reset();
}

absl::Status Shard::CheckLoaded() const {
  if (closed_) return absl::CancelledError("the shard is closing");
  if (ready_) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("loading: ", static_cast<int>(100 * loaded_), " % of the rows"));
}

absl::Status Shard::CheckOpen() const {
  POMPC_RETURN_IF_ERROR(CheckLoaded());
  if (config_ != nullptr) return absl::OkStatus();
  return absl::UnavailableError("the learner has not configured this shard yet");
}

absl::StatusOr<Shard::Open> Shard::GetOpen() const {
  {
    MutexLock lock(&open_mu_);
    if (open_.table != nullptr) return open_;
  }
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckOpen());
  return Open{config_, table_};
}

void Shard::UpdateOpen() {
  const bool open = CheckOpen().ok();
  MutexLock lock(&open_mu_);
  open_ = open ? Open{config_, table_} : Open();
}

absl::Status Shard::Configure(const ShardConfig& config) {
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckLoaded());
  POMPC_RETURN_IF_ERROR(ConfigureLocked(config));
  limiter_.Heard(clock_->Now());
  return absl::OkStatus();
}

absl::Status Shard::ConfigureLocked(const ShardConfig& config) {
  if (config_ != nullptr) {
    POMPC_RETURN_IF_ERROR(CheckRun(config_->run_id, config.run_id));
    // A later start takes over without asking the earlier one, which may be dead.
    const bool later = config.learner.incarnation > config_->learner.incarnation;
    if (!later) POMPC_RETURN_IF_ERROR(CheckHolder(config.learner));
    POMPC_RETURN_IF_ERROR(CheckSameRows(*config_, config));
    const std::string changes = Changes(*config_, config);
    if (config_->table != config.table) POMPC_RETURN_IF_ERROR(MakeTable(config));
    if (!changes.empty()) Log().info("shard {} now has {}", config.shard_index, changes);
  } else {
    POMPC_RETURN_IF_ERROR(MakeTable(config));
  }
  if (store_->persistent() && (config_ == nullptr || config_->encoded != config.encoded)) {
    Record(ConfigRecord{config.encoded});
  }
  config_ = std::make_shared<const ShardConfig>(config);
  UpdateOpen();
  return absl::OkStatus();
}

// Rows keep their addresses; what a smaller table does not hold is evicted. This takes as long as
// copying all rows, and writers wait meanwhile: it happens when a run is resumed with other
// settings. Those who sample finish with the table that was. The named tables begin anew, without
// priorities and counts of draws.
absl::Status Shard::MakeTable(const ShardConfig& config) {
  POMPC_RETURN_IF_ERROR(config.table.Validate());
  if (table_ == nullptr) {
    table_ = std::make_shared<Table>(config.table, store_->disk_rows());
    return absl::OkStatus();
  }
  table_ = std::make_shared<Table>(config.table, *table_);
  if (store_->persistent()) Record(EvictedRecord{table_->oldest()});
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ShardConfig>> Shard::config() const {
  POMPC_ASSIGN_OR_RETURN(const Open open, GetOpen());
  return open.config;
}

AppendOutcome Shard::Append(const SegmentId& segment, uint64_t first_row, const RowView& rows,
                            const std::shared_ptr<RoomWaiter>& waiter) {
  if (segment.imported()) {
    return {Kind::kRefused, 0, false,
            absl::InvalidArgumentError(
                absl::StrCat("actor index ", segment.actor_index, " is kept for data sets"))};
  }
  AppendOutcome outcome;
  bool round_due;
  {
    MutexLock lock(&mu_);
    activity_.Begin(Activity::kInserting);
    const uint64_t room = writers_.Claim(waiter.get(), Room());
    outcome = AppendLocked(segment, first_row, rows, room);
    if (outcome.kind == Kind::kBlocked) {
      writers_.Wait(waiter, outcome.blocked_by, first_row + rows.count - outcome.next_row);
      told_ = std::string(outcome.status.message());
    }
    activity_.End(Activity::kInserting, !writers_.empty());
    round_due = writers_.RoundDue(Room());
  }
  // This was the last of a round that whoever began it did not wait for.
  if (round_due) ShareRoom();
  return outcome;
}

AppendOutcome Shard::Import(uint32_t data_set, uint64_t episode, uint64_t first_row,
                            const RowView& rows) {
  MutexLock lock(&mu_);
  activity_.Begin(Activity::kInserting);
  AppendOutcome outcome =
      AppendLocked(ImportedSegment(data_set, episode), first_row, rows, rows.count);
  POMPC_CHECK(outcome.kind != Kind::kBlocked, "rows of a data set wait for no grant");
  activity_.End(Activity::kInserting, !writers_.empty());
  return outcome;
}

absl::StatusOr<ImportPosition> Shard::Imported(uint32_t data_set) const {
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckOpen());
  const std::optional<Streams::Last> last = streams_.LastOf(SegmentId::kImportActor, data_set);
  if (!last.has_value()) return ImportPosition();
  // What was forgotten was whole: the rows of an episode come before those of the next one.
  if (last->state == nullptr) return ImportPosition{last->episode, 0, true};
  return ImportPosition{last->episode, last->state->next_row, last->state->ended};
}

// What can be decided without room is decided first, so that nothing waits for the limiter in vain.
AppendOutcome Shard::AppendLocked(const SegmentId& id, uint64_t first_row, const RowView& rows,
                                  uint64_t room) {
  if (absl::Status status = CheckOpen(); !status.ok()) return {Kind::kFailed, 0, false, status};
  // Whatever follows may have to be recorded. What waits to be written is bounded by this.
  if (absl::Status admits = store_->Admits(); !admits.ok()) {
    return {id.imported() ? Kind::kFailed : Kind::kBlocked, 0, false, admits, 0, BlockedBy::kStore};
  }
  if (absl::Status status = CheckLease(id); !status.ok()) {
    return {Kind::kBlocked, first_row, false, status, 0, BlockedBy::kVersion};
  }
  absl::StatusOr<Streams::Segment*> opened = streams_.Open(id);
  if (!opened.ok()) return {Kind::kRefused, 0, false, opened.status()};
  Streams::Segment* const segment = *opened;
  if (absl::Status status = CheckChunk(id, rows); !status.ok()) {
    return RefuseSegment(id, segment, status);
  }
  const bool has_final = !rows.final_observation.empty();
  const ChunkVerdict verdict = JudgeChunk(*segment, first_row, rows.count, has_final);
  switch (verdict.kind) {
    case ChunkVerdict::Kind::kRefused:
      return RefuseSegment(id, segment, verdict.status);
    case ChunkVerdict::Kind::kGap:
      return {Kind::kGap, segment->next_row, segment->ended};
    case ChunkVerdict::Kind::kStored:
      return {Kind::kAcked, segment->next_row, segment->ended};
    case ChunkVerdict::Kind::kStore:
      break;
  }
  if (absl::Status status = CheckNewRows(id, rows, verdict.skip, first_row); !status.ok()) {
    return RefuseSegment(id, segment, status);
  }
  const absl::Status status =
      id.imported() ? absl::OkStatus() : CheckVersions(rows, verdict.skip, first_row, segment);
  if (!status.ok()) {
    if (!absl::IsUnavailable(status)) return RefuseSegment(id, segment, status);
    return {Kind::kBlocked, segment->next_row, segment->ended, status, 0, BlockedBy::kVersion};
  }
  return StoreNewRows({id, first_row, rows, verdict.skip}, room, segment);
}

absl::Status Shard::CheckChunk(const SegmentId& id, const RowView& rows) const {
  if (id.imported() && rows.count > ShardConfig::kMaxChunkRows) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the chunk has ", rows.count, " rows; allowed are ", ShardConfig::kMaxChunkRows));
  }
  if (!id.imported() && rows.count > config_->chunk_rows) {
    return absl::InvalidArgumentError(absl::StrCat("the chunk has ", rows.count,
                                                   " rows; allowed by actor.chunk_rows are ",
                                                   config_->chunk_rows));
  }
  return CheckSizes(table_->spec(), rows);
}

absl::Status Shard::CheckNewRows(const SegmentId& id, const RowView& rows, uint32_t begin,
                                 uint64_t first_row) const {
  POMPC_RETURN_IF_ERROR(CheckValues(table_->spec(), config_->limits, rows, begin, first_row));
  if (!limiter_.seed_phase_over() || id.imported()) return absl::OkStatus();
  // The last random rows of a seed phase may still be in flight when it ends. They are refused, so
  // that the writer drops the episode: training expects every later row to have a plan.
  const std::span<const uint8_t> has_plan = rows.Get<uint8_t>("has_plan");
  const auto planless = std::find(has_plan.begin() + begin, has_plan.end(), 0);
  if (planless == has_plan.end()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("row ",
                                                    first_row + (planless - has_plan.begin()),
                                                    " has no plan, and the seed phase is over"));
}

// A made-up incarnation would fence the actor's true ones for ever, so the learner's word is
// awaited before any is believed. The writer may be faster than the grant that tells of its lease.
absl::Status Shard::CheckLease(const SegmentId& id) const {
  if (id.imported() || limiter_.IsLeased(id.incarnation) || !streams_.BeginsIncarnation(id)) {
    return absl::OkStatus();
  }
  const absl::Duration now = clock_->Now();
  return absl::UnavailableError(absl::StrCat(
      "the learner has not announced lease ", id.incarnation, " of actor ", id.actor_index, " yet",
      limiter_.Silent(now) ? "; " + limiter_.SilenceText(now) : ""));
}

// A planner may hear of a version, and an actor send a row planned by it, while the grant that
// tells of it is still on its way. Of the grants that come after the row, the first may have been
// made before the row was; the second was made after, for there is one exchange at a time.
absl::Status Shard::CheckVersions(const RowView& rows, uint32_t begin, uint64_t first_row,
                                  Streams::Segment* segment) const {
  const std::span<const ParameterVersion> versions = rows.Get<ParameterVersion>("versions");
  size_t ahead = begin;
  while (ahead < versions.size() && limiter_.IsPublished(versions[ahead])) ++ahead;
  if (ahead == versions.size()) {
    segment->unpublished_since.reset();
    return absl::OkStatus();
  }
  // The count of grants, not the time, tells how long the row has waited: it says what the learner
  // knew, whatever the clocks do.
  if (!segment->unpublished_since.has_value()) segment->unpublished_since = limiter_.grants();
  const std::string what = absl::StrCat("row ", first_row + ahead, " was planned by version ",
                                        versions[ahead].ToString());
  if (limiter_.grants() < *segment->unpublished_since + 2) {
    const absl::Duration now = clock_->Now();
    return absl::UnavailableError(
        absl::StrCat(what, ", which the learner has not announced yet",
                     limiter_.Silent(now) ? "; " + limiter_.SilenceText(now) : ""));
  }
  return absl::InvalidArgumentError(absl::StrCat(what,
                                                 "; the newest that the learner has published is ",
                                                 limiter_.newest_version().ToString()));
}

AppendOutcome Shard::Refuse(const SegmentId& id, absl::Status why) {
  MutexLock lock(&mu_);
  if (absl::Status status = CheckOpen(); !status.ok()) return {Kind::kFailed, 0, false, status};
  if (absl::Status admits = store_->Admits(); !admits.ok()) {
    return {Kind::kFailed, 0, false, admits};
  }
  // Nothing is remembered of a writer that the learner does not know.
  if (!CheckLease(id).ok()) return {Kind::kRefused, 0, false, std::move(why)};
  const absl::StatusOr<Streams::Segment*> opened = streams_.Open(id);
  if (!opened.ok()) return {Kind::kRefused, 0, false, opened.status()};
  return RefuseSegment(id, *opened, std::move(why));
}

AppendOutcome Shard::RefuseSegment(const SegmentId& id, Streams::Segment* segment,
                                   absl::Status why) {
  // A writer that hears of a refusal may send the segment again all the same.
  const bool news = segment->refused.ok();
  segment->refused = why;
  if (news && store_->persistent()) Record(RecordOf(id, *segment, table_->next()));
  return {Kind::kRefused, segment->next_row, segment->ended, std::move(why)};
}

// Stores what is granted. A chunk that fits in part is stored in part, for the learner counts rows:
// were chunks all or nothing, the last rows before each bound would never come, and a run that is
// granted fewer rows than a chunk has would stand still.
AppendOutcome Shard::StoreNewRows(const StoredChunk& chunk, uint64_t room,
                                  Streams::Segment* segment) {
  POMPC_CHECK_LE(chunk.begin, chunk.rows.count, "rows are skipped that the chunk does not have");
  const uint32_t wanted = chunk.rows.count - chunk.begin;
  const bool imported = chunk.segment.imported();
  const auto new_rows = static_cast<uint32_t>(std::min<uint64_t>(wanted, room));
  // A chunk without rows, which only ends its segment, needs no room.
  if (new_rows == 0 && wanted > 0) {
    return {Kind::kBlocked, segment->next_row, segment->ended,
            absl::ResourceExhaustedError(WhyBlocked())};
  }
  const RowView rows = new_rows == wanted
                           ? chunk.rows
                           : FirstRows(table_->spec(), chunk.rows, chunk.begin + new_rows);
  const uint64_t previous = segment->tail;
  table_->Append({chunk.segment, chunk.first_row, rows, chunk.begin}, &segment->tail);
  (imported ? imported_rows_ : accepted_rows_) += new_rows;
  if (new_rows > 0 && !imported) {
    limiter_.Accepted(accepted_rows_);
    const std::span<const uint8_t> has_plan = rows.Get<uint8_t>("has_plan");
    planned_rows_ += std::count(has_plan.begin() + chunk.begin, has_plan.end(), 1);
  }
  POMPC_CHECK_LE(planned_rows_, accepted_rows_);
  segment->next_row += new_rows;
  if (new_rows > 0) segment->terminated = rows.Get<uint8_t>("terminated").back() != 0;
  segment->ended = !rows.final_observation.empty();
  if (store_->persistent()) {
    const uint64_t next = table_->next();
    // Together, so that no crash separates rows from what their writer is answered.
    const StoreRecord records[] = {
        ChunkRecord{.segment = chunk.segment,
                    .spec = table_->spec(),
                    .first_row = chunk.first_row,
                    .rows = rows,
                    .begin = chunk.begin,
                    .address = next - new_rows - (segment->ended ? 1 : 0),
                    .previous = previous,
                    .oldest = table_->oldest(),
                    .accepted_rows = accepted_rows_,
                    .planned_rows = planned_rows_,
                    .imported_rows = imported_rows_},
        RecordOf(chunk.segment, *segment, next)};
    store_->Record(records);
  }
  if (new_rows == wanted) {
    return {Kind::kAcked, segment->next_row, segment->ended, absl::OkStatus(), new_rows};
  }
  return {Kind::kBlocked, segment->next_row, segment->ended,
          absl::ResourceExhaustedError(WhyBlocked()), new_rows};
}

void Shard::WhenDurable(std::function<void(absl::Status)> done) {
  store_->WhenDurable(std::move(done));
}

// Takes no part in mu_, so that it never waits for a chunk that is being stored. A table that
// Configure has replaced meanwhile lives until this is done with it.
absl::Status Shard::Sample(uint64_t seed, const WindowColumns& out, absl::string_view table) {
  POMPC_ASSIGN_OR_RETURN(const Open open, GetOpen());
  if (!open.table->Fits(out)) {
    return absl::UnavailableError(absl::StrCat("windows have ", open.table->horizon(),
                                               " rows now, for the shard was configured again"));
  }
  activity_.Begin(Activity::kSampling);
  const absl::Status status = open.table->Sample(seed, out, table);
  activity_.End(Activity::kSampling);
  if (status.ok()) sampled_windows_ += out.count;
  return status;
}

absl::StatusOr<std::pair<uint64_t, uint64_t>> Shard::ReadRows(
    uint64_t address, uint64_t max_rows, const std::function<void(const StoredRow&)>& visit) const {
  POMPC_ASSIGN_OR_RETURN(const Open open, GetOpen());
  POMPC_ASSIGN_OR_RETURN(const uint64_t next, open.table->Read(address, max_rows, visit));
  return std::make_pair(next, open.table->next());
}

absl::StatusOr<Table::UpdateCounts> Shard::UpdatePlans(const Opening& opening,
                                                       std::span<const uint64_t> addresses,
                                                       std::span<const float> plan_mean,
                                                       std::span<const float> plan_std) {
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckOpen());
  // Numbers are checked even if the rows are gone: a learner that sends bad ones is to hear of it.
  POMPC_RETURN_IF_ERROR(
      CheckPlans(table_->spec(), config_->limits, addresses.size(), plan_mean, plan_std));
  if (opening != this->opening()) {
    return Table::UpdateCounts{.evicted = static_cast<uint32_t>(addresses.size())};
  }
  POMPC_RETURN_IF_ERROR(store_->Admits());
  activity_.Begin(Activity::kInserting);
  const Table::UpdateCounts counts = table_->UpdatePlans(addresses, plan_mean, plan_std);
  if (store_->persistent()) RecordPlans(addresses, plan_mean, plan_std);
  activity_.End(Activity::kInserting, !writers_.empty());
  return counts;
}

// Addresses of rows that are gone, or never came, are left out: other rows may get them after a
// crash.
void Shard::RecordPlans(std::span<const uint64_t> addresses, std::span<const float> plan_mean,
                        std::span<const float> plan_std) const {
  const size_t a = table_->spec().action_size;
  std::vector<StoreRecord> records;
  records.reserve(addresses.size());
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (!IsStored(addresses[i])) continue;
    records.push_back(PlansRecord{addresses.subspan(i, 1), plan_mean.subspan(i * a, a),
                                  plan_std.subspan(i * a, a)});
  }
  store_->Record(records);
}

absl::StatusOr<Table::PriorityCounts> Shard::UpdatePriorities(const Opening& opening,
                                                              absl::string_view table,
                                                              std::span<const uint64_t> addresses,
                                                              std::span<const float> priorities) {
  POMPC_ASSIGN_OR_RETURN(const Open open, GetOpen());
  POMPC_RETURN_IF_ERROR(CheckPriorities(addresses.size(), priorities));
  // Addresses of another opening are none of this one's windows.
  const size_t known = opening == this->opening() ? addresses.size() : 0;
  POMPC_ASSIGN_OR_RETURN(
      Table::PriorityCounts counts,
      open.table->SetPriorities(table, addresses.first(known), priorities.first(known)));
  counts.gone += static_cast<uint32_t>(addresses.size() - known);
  return counts;
}

absl::StatusOr<uint32_t> Shard::BarWindows(const Opening& opening,
                                           std::span<const uint64_t> addresses) {
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckOpen());
  if (addresses.size() > kMaxWindows) {
    return absl::InvalidArgumentError(
        absl::StrCat("count of windows is ", addresses.size(), ", allowed are 0 to ", kMaxWindows));
  }
  if (opening != this->opening()) return 0;
  if (!store_->persistent()) return table_->Bar(addresses);
  // Only the windows that there are: one that begins at the same row later is not barred.
  std::vector<uint64_t> barred;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (table_->Bar(addresses.subspan(i, 1)) > 0) barred.push_back(addresses[i]);
  }
  // This is recorded even where the store admits nothing: each window can be barred once only.
  if (!barred.empty()) Record(BarredRecord{barred});
  return static_cast<uint32_t>(barred.size());
}

ShardCounts Shard::counts() const {
  MutexLock lock(&mu_);
  const auto waiting = [this](BlockedBy by) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return static_cast<uint32_t>(writers_.waiting(by));
  };
  ShardCounts counts{.accepted_rows = accepted_rows_,
                     .planned_rows = planned_rows_,
                     .imported_rows = imported_rows_,
                     .max_accepted_rows = limiter_.max_accepted_rows(),
                     .sampled_windows = sampled_windows_,
                     .waiting_for_grant = waiting(BlockedBy::kGrant),
                     .waiting_for_version = waiting(BlockedBy::kVersion),
                     .waiting_for_store = waiting(BlockedBy::kStore),
                     .loaded = ready_ ? 1 : std::min(loaded_, 0.99),
                     .store = store_->stats()};
  // Before Configure there is no table, and status pages may ask all the same.
  if (table_ == nullptr) return counts;
  counts.stored_rows = table_->stored_rows();
  counts.stored_bytes = table_->stored_bytes();
  counts.windows = table_->windows();
  counts.barred_windows = table_->barred_windows();
  counts.capacity_rows = table_->capacity();
  counts.oldest_address = table_->oldest();
  counts.next_address = table_->next();
  counts.tables = table_->tables();
  return counts;
}

void Shard::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
    UpdateOpen();
  }
  WakeAll();
}

}  // namespace pompc::replay
