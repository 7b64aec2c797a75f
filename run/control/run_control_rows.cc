// This part of RunControl decides the number of rows that the shards may take, and why no more.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "run/control/run_control.h"

namespace pompc::run {
namespace {

// More than all environments make in one turn.
constexpr uint64_t kLockstepRows = 1'000'000;

}  // namespace

ShardGrant RunControl::NextGrant(int shard) {
  MutexLock lock(&mu_);
  POMPC_CHECK(ShardAt(shard).reachable, "a shard that does not answer is granted nothing");
  // In this order: what a shard that is given up had kept goes into this grant.
  GiveUpShards(clock_->Now());
  // The learner's start stands for the newest version even before this start has published one, so
  // that shards count the versions of earlier starts as older than all of this one's.
  const ParameterVersion newest = {options_.learner_incarnation, version_.number};
  const uint64_t bound = UnheardShards().empty() ? RowsBound() : 0;
  const uint64_t rows = row_counter_.total();
  // The bound counts rows of the run. RowGrants turns what is left of it into a bound on the rows
  // that this shard's memory has ever accepted.
  const uint64_t remaining = bound - std::min(bound, rows);
  return {grants_.Next(shard, remaining), WhyNoMoreRows().text, closing_seed_, newest,
          leases_.newest()};
}

// Shards hold rows that were accepted after the last checkpoint; unheard, they do not count. One
// that loads its rows will tell, however long that takes.
std::string RunControl::UnheardShards() const {
  if (options_.learner_incarnation <= 1 || IsOver(phases_.phase())) return "";
  const bool long_enough = clock_->Now() >= start_ + options_.hear_from_shards;
  std::vector<std::string> unheard;
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].heard || (long_enough && !shards_[i].loading)) continue;
    unheard.push_back(absl::StrCat(i, " (", shards_[i].address,
                                   shards_[i].loading ? ", " + shards_[i].problem : "", ")"));
  }
  if (unheard.empty()) return "";
  return absl::StrCat("the learner was restarted and waits for the contents of these shards: ",
                      absl::StrJoin(unheard, ", "));
}

std::string RunControl::LoadingShards() const {
  std::vector<std::string> loading;
  for (const Shard& shard : shards_) {
    if (shard.loading) loading.push_back(absl::StrCat(shard.address, " (", shard.problem, ")"));
  }
  if (loading.empty()) return "";
  return absl::StrCat("the learner waits for shards that load their rows: ",
                      absl::StrJoin(loading, ", "));
}

uint64_t RunControl::RowsBound() const {
  if (IsOver(phases_.phase()) || ratio_.options().offline) return 0;
  // Turns hold the rows back, and a turn that has begun must be able to end.
  if (options_.lockstep) return row_counter_.total() + kLockstepRows;
  // Two bounds, and the larger one counts: the ratio of updates to rows, and what replay lacks to
  // be sampled from. The second one lets rows in after replay was lost, when the updates are as far
  // as the rows ever were and the ratio alone would admit none. What a shard still loads is not
  // lost.
  uint64_t bound = ratio_.RowsBound(phases_.phase() == proto::SEED, updates_);
  if (LoadingShards().empty()) bound = RefillBound(bound);
  const uint64_t max_rows = phases_.options().max_rows;
  return max_rows > 0 ? std::min(bound, max_rows) : bound;
}

uint64_t RunControl::RefillBound(uint64_t bound) const {
  const ReplayContent replay = Replay();
  const uint64_t rows = row_counter_.total();
  bound = std::max(bound, rows + replay.MissingOf(replay.min_rows));
  // Many environments may have shared these rows so thinly that none has a window.
  if (replay.windows == 0 && rows >= bound) {
    bound = rows + window_watch_.MissingRows(replay);
  }
  // Updates may wait for windows that can still be drawn, and only new rows make more of them.
  const DrawOptions& draws = options_.draws;
  if (replay.draws_left < draws.MinDraws() && rows >= bound) {
    const uint64_t missing = draws.MinDraws() - replay.draws_left;
    bound = rows + (missing + draws.max_times_sampled - 1) / draws.max_times_sampled;
  }
  return bound;
}

std::string RunControl::KeptGrants() const {
  const uint64_t bound = RowsBound(), rows = row_counter_.total(), kept = grants_.Kept();
  // Reserved rows are the reason only if the bound leaves rows and all of these are reserved.
  if (rows >= bound || rows + kept < bound) return "";
  std::vector<std::string> lost;
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].reachable) continue;
    lost.push_back(absl::StrCat(i, " (", shards_[i].address, ")"));
  }
  return absl::StrCat(kept, " rows are kept for shards that do not answer the learner, for ",
                      absl::FormatDuration(options_.keep_grants),
                      ", as actors may reach them: ", absl::StrJoin(lost, ", "));
}

void RunControl::GiveUpShards(absl::Duration now) {
  for (size_t i = 0; i < shards_.size(); ++i) {
    const Shard& shard = shards_[i];
    if (shard.reachable || now < shard.lost_at + options_.keep_grants) continue;
    grants_.GiveUp(static_cast<int>(i));
  }
}

RunControl::GrantReason RunControl::WhyNoMoreRows() const {
  if (std::string unheard = UnheardShards(); !unheard.empty()) {
    return {proto::LimiterStatus::SHARDS, std::move(unheard)};
  }
  if (std::string kept = KeptGrants(); !kept.empty()) {
    return {proto::LimiterStatus::SHARDS, std::move(kept)};
  }
  const uint64_t rows = row_counter_.total();
  const RatioOptions& ratio = ratio_.options();
  if (IsOver(phases_.phase())) {
    return {proto::LimiterStatus::RUN_OVER, absl::StrCat("the run is over: ", phases_.reason())};
  }
  if (ratio.offline) {
    return {proto::LimiterStatus::ALL_ROWS,
            "the run learns offline, from data sets alone: it takes no rows"};
  }
  if (phases_.HasAllRows(rows)) {
    return {proto::LimiterStatus::ALL_ROWS, absl::StrCat("the run has all its ", rows, " rows")};
  }
  // From here on the reasons follow RowsBound: whichever bound holds is the one that is named.
  if (const ReplayContent replay = Replay(); rows >= ratio.seed_rows) {
    const std::string loading = LoadingShards();
    if (!loading.empty() && (replay.NeedsRefill() || replay.windows == 0)) {
      return {proto::LimiterStatus::SHARDS, loading};
    }
    if (replay.NeedsRefill()) {
      return {proto::LimiterStatus::MIN_ROWS,
              absl::StrCat("replay is being filled: ", replay.Progress())};
    }
    if (replay.windows == 0) {
      return {proto::LimiterStatus::NO_WINDOW, window_watch_.WaitReason(replay)};
    }
  }
  if (phases_.phase() == proto::SEED) {
    return {proto::LimiterStatus::PRETRAINING,
            absl::StrCat("the learner is at update ", updates_, " of ", ratio.pretrain_updates,
                         " before the first version; the run has ", rows, " rows of ",
                         ratio.seed_rows, " + ", ratio.slack_rows, " slack")};
  }
  return {proto::LimiterStatus::RATIO,
          absl::StrCat("rows run ahead of updates: ", rows, " rows, ", updates_, " updates (",
                       ratio.utd, " per row, ", ratio.slack_rows, " rows slack)")};
}

uint32_t RunControl::BlockedStreams() const {
  uint32_t blocked = 0;
  for (const Shard& shard : shards_) {
    if (shard.reachable) blocked += shard.info.blocked_streams();
  }
  return blocked;
}

// Told often enough: a shard answers several times a second.
void RunControl::TimeWriters() {
  writers_wait_.Enter(BlockedStreams() > 0 ? WhyWritersWait(WhyNoMoreRows()).reason
                                           : proto::LimiterStatus::NONE);
}

uint64_t RunControl::Environments() const {
  uint64_t environments = 0;
  for (const auto& [id, lease] : leases_.all()) environments += lease.shards.size();
  return environments;
}

void RunControl::ObserveWaits(absl::Duration elapsed) {
  TimeWriters();
  if (elapsed <= absl::ZeroDuration()) return;
  // The reasons for which rows are what the learner lacks.
  const auto waits = learner_waits_.Seconds();
  double waited = 0;
  for (const Reason reason : {proto::LimiterStatus::SEED_ROWS, proto::LimiterStatus::RATIO,
                              proto::LimiterStatus::MIN_ROWS, proto::LimiterStatus::NO_WINDOW}) {
    waited += waits[reason];
  }
  const double share =
      (waited - std::exchange(waited_for_rows_, waited)) / absl::ToDoubleSeconds(elapsed);
  uint32_t streams = 0;
  for (const Shard& shard : shards_) {
    if (shard.reachable) streams += shard.info.streams();
  }
  const double blocked = streams == 0 ? 0 : static_cast<double>(BlockedStreams()) / streams;
  // Clamped, because the one comes from shards and the other from a timer that ran on meanwhile.
  demand_.Observe(elapsed, static_cast<double>(Environments()), std::clamp(share, 0.0, 1.0),
                  std::clamp(blocked, 0.0, 1.0));
}

RunControl::GrantReason RunControl::WhyWritersWait(const GrantReason& grant) const {
  for (size_t i = 0; i < shards_.size(); ++i) {
    const proto::ShardInfo& info = shards_[i].info;
    if (!shards_[i].reachable || info.blocked_streams() == 0) continue;
    if (info.store_failure().empty()) continue;
    return {proto::LimiterStatus::SHARDS, absl::StrCat("shard ", i, " at ", shards_[i].address,
                                                       " takes no rows: ", info.store_failure())};
  }
  return grant;
}

std::vector<uint64_t> RunControl::Masses() const {
  MutexLock lock(&mu_);
  std::vector<uint64_t> masses;
  for (const Shard& shard : shards_) {
    masses.push_back(shard.reachable ? TableOf(shard.info).mass() : 0);
  }
  return masses;
}

proto::TableInfo RunControl::TableOf(const proto::ShardInfo& info) const {
  for (const proto::TableInfo& table : info.tables()) {
    if (options_.draws.table.empty() || table.name() == options_.draws.table) return table;
  }
  // A shard of an earlier version has one table, which draws all windows alike.
  proto::TableInfo only;
  only.set_windows(info.windows());
  only.set_mass(info.windows());
  return only;
}

ReplayContent RunControl::Replay() const {
  ReplayContent replay;
  // The last account of shards that do not answer is not used: they may have lost their memory.
  for (const Shard& shard : shards_) {
    if (!shard.reachable) continue;
    replay.stored_rows += shard.info.stored_rows();
    replay.accepted_rows += shard.info.accepted_rows();
    replay.windows += shard.info.windows();
    replay.draws_left += TableOf(shard.info).draws_left();
    replay.capacity_rows += shard.info.capacity_rows();
  }
  replay.min_rows = ratio_.MinRows(replay.capacity_rows);
  replay.environments = most_environments_;
  replay.complete = phases_.HasAllRows(row_counter_.total()) || ratio_.options().offline;
  return replay;
}

bool RunControl::CannotRefill() const {
  // This is decided only while every shard answers: one that does not may hold the rows that seem
  // to be lost.
  if (!phases_.HasAllRows(row_counter_.total()) || !AllReachable()) return false;
  const ReplayContent replay = Replay();
  const DrawOptions& draws = options_.draws;
  return replay.NeedsRefill() ||
         (draws.max_times_sampled > 0 && replay.draws_left < draws.batch_size);
}

bool RunControl::AllReachable() const {
  return std::all_of(shards_.begin(), shards_.end(),
                     [](const Shard& shard) { return shard.reachable; });
}

void RunControl::WatchWindows(absl::Duration now) {
  // The most there ever were: environments that have left may have written rows too thin for a
  // window, and these rows are still counted.
  most_environments_ = std::max(most_environments_, Environments());
  const bool seed_rows_came =
      phases_.phase() != proto::SEED || row_counter_.total() >= ratio_.options().seed_rows;
  window_watch_.Observe(Replay(), AllReachable() && seed_rows_came && !Importing(), now);
  const absl::Status& status = window_watch_.status();
  if (!status.ok()) HaltFor(std::string(status.message()));
}

}  // namespace pompc::run
