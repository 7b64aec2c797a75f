// This part of Shard decides which writers wait, and when they try again.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "replay/core/shard.h"

namespace pompc::replay {
namespace {

void Wake(const WriterQueue::Writers& writers) {
  for (const std::shared_ptr<RoomWaiter>& writer : writers) writer->OnRoom();
}

}  // namespace

std::string Shard::WhyBlocked() const {
  const absl::Status admits = store_->Admits();
  if (!admits.ok()) return std::string(admits.message());
  return limiter_.WhyBlocked(accepted_rows_, clock_->Now());
}

// The learner must be able to tell this from a shard that another run has taken, for which it
// waits: hence a code of its own.
absl::Status Shard::CheckHolder(const LearnerStart& from) const {
  if (from == config_->learner) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat("the shard is held by another start (", config_->learner.incarnation,
                   ") of run ", config_->run_id,
                   "; is this run directory a copy of another one? Each needs shards of its own, ",
                   "and an older state of a run directory needs shards without its later rows"));
}

absl::Status Shard::CheckMayChange(const std::optional<LearnerStart>& from) const {
  MutexLock lock(&mu_);
  POMPC_RETURN_IF_ERROR(CheckOpen());
  if (from.has_value()) return CheckHolder(*from);
  if (!limiter_.announces_leases()) return absl::OkStatus();
  return absl::AbortedError("the request does not say which start of the run's learner makes it");
}

void Shard::StopWaiting(const RoomWaiter* waiter) {
  MutexLock lock(&mu_);
  writers_.Leave(waiter);
  activity_.SetBlocked(!writers_.empty());
}

absl::Status Shard::Grant(RowGrant grant, const LearnerStart& from) {
  WriterQueue::Writers woken;
  {
    MutexLock lock(&mu_);
    POMPC_RETURN_IF_ERROR(CheckOpen());
    POMPC_RETURN_IF_ERROR(CheckHolder(from));
    POMPC_RETURN_IF_ERROR(limiter_.Check(grant));
    const bool phase_ends = grant.seed_phase_over && !limiter_.seed_phase_over();
    const bool was_silent = limiter_.Silent(clock_->Now());
    const bool record =
        store_->persistent() && (phase_ends || grant.newest_version != limiter_.announced());
    limiter_.Grant(std::move(grant), clock_->Now());
    if (record) Record(GrantRecord{limiter_.seed_phase_over(), limiter_.announced()});
    // All are woken, room or not, for any of three reasons: the seed phase ended, so that chunks
    // will be refused; the version that one waits for may be known now; what they were told (that
    // the learner is silent) is no longer true.
    if (phase_ends || was_silent || writers_.waiting(BlockedBy::kVersion) > 0) {
      woken = TakeWriters();
    }
  }
  Wake(woken);
  ShareRoom();
  return absl::OkStatus();
}

WriterQueue::Writers Shard::TakeWriters() {
  WriterQueue::Writers writers = writers_.TakeAll(Room());
  activity_.SetBlocked(false);
  return writers;
}

// A stream's writer mostly tries again before OnRoom returns, so that a round is over when all were
// woken; one that tries later continues with the next round. Every round ends with fewer rows to
// share or fewer writers that wait for them. One thread wakes at a time: the writers that it wakes
// come back here.
void Shard::ShareRoom() {
  for (bool first = true;; first = false) {
    WriterQueue::Writers woken;
    {
      MutexLock lock(&mu_);
      if (first && std::exchange(sharing_, true)) return;
      woken = writers_.NextRound(Room());
      activity_.SetBlocked(!writers_.empty());
      if (woken.empty()) sharing_ = false;
    }
    if (woken.empty()) return;
    Wake(woken);
  }
}

void Shard::WakeAll() {
  WriterQueue::Writers woken;
  {
    MutexLock lock(&mu_);
    woken = TakeWriters();
  }
  Wake(woken);
}

void Shard::RenewReasons() {
  // Rows that a writer left unclaimed.
  ShareRoom();
  {
    MutexLock lock(&mu_);
    // The text holds the seconds of silence, so that it differs from what was told while the
    // learner is away.
    if (closed_ || writers_.empty() || WhyBlocked() == told_) return;
  }
  WakeAll();
}

}  // namespace pompc::replay
