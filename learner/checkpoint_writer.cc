#include "learner/checkpoint_writer.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"

namespace pompc::learner {

CheckpointWriter::CheckpointWriter(std::unique_ptr<rundir::CheckpointStore> store, Clock* clock,
                                   const BackoffOptions& retry)
    : clock_(clock), store_(std::move(store)), backoff_(retry, /*seed=*/0) {
  POMPC_CHECK(clock_ != nullptr && store_ != nullptr);
  const absl::StatusOr<std::vector<uint64_t>> all = store_->List();
  {
    MutexLock lock(&mu_);
    newest_at_ = clock_->Now();
    if (all.ok() && !all->empty()) stats_.newest = all->back();
  }
  thread_ = Thread("checkpoints", [this] { Run(); });
}

CheckpointWriter::~CheckpointWriter() { Close(); }

void CheckpointWriter::Run() {
  // An earlier start may have found no room to set the link to the best one.
  Tidy();
  // A closed queue still gives what was requested before it was closed. Retries come between jobs.
  while (true) {
    const std::optional<std::function<void()>> job = jobs_.Pop(clock_, next_try_);
    if (job.has_value()) (*job)();
    if (clock_->Now() >= next_try_) TryAgain();
    if (!job.has_value() && jobs_.closed() && jobs_.size() == 0) break;
  }
  // The last try is made at once, whatever the backoff says: nobody comes back for it.
  if (next_try_ != absl::InfiniteDuration()) TryAgain();
  for (const auto& [updates, checkpoint] : failed_) {
    Log().error("the checkpoint of update {} was never written", updates);
  }
}

void CheckpointWriter::Write(std::unique_ptr<Checkpoint> checkpoint, bool pin) {
  TakePlace();
  const Shared shared = std::move(checkpoint);
  jobs_.Push([this, shared, pin] { DoWrite(shared, pin, /*replace=*/false).IgnoreError(); });
}

absl::Status CheckpointWriter::WriteAndWait(std::unique_ptr<Checkpoint> checkpoint,
                                            absl::Duration retry_for, bool replace) {
  const Shared shared = std::move(checkpoint);
  const absl::Duration give_up = clock_->Now() + retry_for;
  // Shorter delays than those of the thread: somebody waits.
  Backoff backoff({.initial = absl::Milliseconds(50), .max = absl::Seconds(1)}, /*seed=*/0);
  // Each try goes through the queue: what was requested before is written before, and the thread
  // alone touches the store.
  while (true) {
    TakePlace();
    absl::Status status = absl::CancelledError("the checkpoint writer is closed");
    Event done;
    if (!jobs_.Push([&] {
          status = DoWrite(shared, /*pin=*/false, replace);
          done.Set();
        })) {
      return status;
    }
    done.Wait();
    const absl::Duration now = clock_->Now();
    if (status.ok() || now >= give_up || !CheckInPlace().ok()) return status;
    // Nothing sets this event: only the clock ends the wait, which tests can advance.
    Event never;
    never.WaitUntil(clock_, std::min(give_up, now + backoff.Next()));
  }
}

void CheckpointWriter::Settle(uint64_t updates, std::optional<proto::EvaluationResult> result) {
  jobs_.Push([this, updates, result = std::move(result)] { DoSettle(updates, result); });
}

void CheckpointWriter::TakePlace() {
  MutexLock lock(&mu_);
  while (waiting_ > 0 && !jobs_.closed()) taken_.Wait(&mu_);
  ++waiting_;
}

absl::Status CheckpointWriter::DoWrite(const Shared& checkpoint, bool pin, bool replace) {
  {
    MutexLock lock(&mu_);
    POMPC_CHECK_GT(waiting_, 0, "it waits for no place");
    --waiting_;
    taken_.Signal();
  }
  const uint64_t updates = checkpoint->info.progress.updates;
  // The pin holds for a write that fails, too: DropFailed keeps what is under evaluation.
  if (pin) store_->Pin(updates);
  const absl::Status status = Put(*checkpoint, replace);
  if (status.ok()) {
    failed_.erase(updates);
  } else {
    failed_[updates] = checkpoint;
  }
  DropFailed();
  // If one could be written, there may be room for those that failed.
  if (status.ok() && !failed_.empty()) {
    TryAgain();
  } else {
    Tidy();
  }
  return status;
}

absl::Status CheckpointWriter::Put(const Checkpoint& checkpoint, bool replace) {
  const uint64_t updates = checkpoint.info.progress.updates;
  const absl::Duration start = clock_->Now();
  // Writing takes seconds on a slow disk: the lock is not held, and the status shows since when.
  {
    MutexLock lock(&mu_);
    POMPC_CHECK(!stats_.writing.has_value());
    stats_.writing = updates;
    stats_.writing_since = start;
  }
  const absl::Status status = store_->Write(
      updates, [&](const std::string& folder) { return WriteCheckpoint(folder, checkpoint); },
      replace);
  if (status.ok()) {
    Log().debug("checkpoint {}", store_->Path(updates));
  } else {
    Log().error("the checkpoint of update {} could not be written: {}", updates,
                status.ToString());
  }
  MutexLock lock(&mu_);
  stats_.writing.reset();
  ++(status.ok() ? stats_.written : stats_.failed);
  stats_.time += clock_->Now() - start;
  // `stats_.status` is still that of the try before: if it is OK, a series of failures may begin
  // here.
  if (stats_.status.ok()) stats_.failing_since = clock_->Now();
  stats_.status = status;
  if (!status.ok()) return status;
  // One that failed before may be written after newer ones.
  if (updates >= stats_.newest.value_or(0)) newest_at_ = clock_->Now();
  stats_.newest = std::max(stats_.newest.value_or(0), updates);
  return status;
}

void CheckpointWriter::DoSettle(uint64_t updates,
                                const std::optional<proto::EvaluationResult>& result) {
  // The result is entered before DropFailed and Tidy run without the pin. Otherwise they could
  // delete the checkpoint of the best policy as an old one without a result.
  if (result.has_value()) store_->AddEvaluation(*result);
  store_->Unpin(updates);
  DropFailed();
  Tidy();
}

std::map<uint64_t, CheckpointWriter::Shared>::iterator CheckpointWriter::BestFailed() {
  auto found = failed_.end();
  std::optional<double> best;
  if (const auto stored = store_->Best(); stored.ok() && stored->has_value()) {
    best = (*stored)->return_mean;
  }
  for (auto it = failed_.begin(); it != failed_.end(); ++it) {
    const std::optional<double> mean =
        store_->ReturnOf(it->first, it->second->info.learner_incarnation);
    // An absent optional is less than any number: as long as nothing on disk has a return, any
    // return is better.
    if (!mean.has_value() || mean <= best) continue;
    best = mean;
    found = it;
  }
  return found;
}

void CheckpointWriter::DropFailed() {
  if (failed_.empty()) return;
  const auto best = BestFailed();
  const std::optional<uint64_t> best_updates =
      best == failed_.end() ? std::nullopt : std::optional(best->first);
  std::optional<uint64_t> newest_written;
  {
    MutexLock lock(&mu_);
    newest_written = stats_.newest;
  }
  // Two are needed whatever happens: the best policy, which would be lost, and the newest, from
  // which a start would resume.
  const uint64_t newest = failed_.rbegin()->first;
  const auto needed = [&](uint64_t updates) {
    return updates == best_updates || (updates == newest && newest > newest_written);
  };
  std::erase_if(failed_, [&](const auto& entry) {
    return !needed(entry.first) && !store_->IsPinned(entry.first);
  });
  // The others are under evaluation. The oldest of them go first, since policies that come later
  // tend to be better.
  while (failed_.size() > kMaxFailed) {
    const auto victim = std::find_if(failed_.begin(), failed_.end(),
                                     [&](const auto& entry) { return !needed(entry.first); });
    POMPC_CHECK(victim != failed_.end(), "more are needed than are kept");
    Log().error("the checkpoint of update {} is dropped: {} newer ones wait to be written",
                victim->first, kMaxFailed);
    failed_.erase(victim);
  }
}

void CheckpointWriter::TryAgain() {
  // The best policy goes first, then the newest: if the disk has room for one, it is for that. The
  // first failure ends the round, since the others would fail alike.
  absl::Status status;
  while (!failed_.empty() && status.ok()) {
    auto next = BestFailed();
    if (next == failed_.end()) next = std::prev(failed_.end());
    // One that failed is newer than what stands in its place, if anything does: an older one of the
    // same update, which it was to replace.
    status = Put(*next->second, /*replace=*/true);
    if (!status.ok()) break;
    Log().info("the checkpoint of update {} is written now", next->first);
    failed_.erase(next);
    DropFailed();
  }
  Tidy();
}

void CheckpointWriter::Tidy() {
  const absl::Status status = store_->Tidy();
  if (!status.ok()) Log().error("checkpoints: {}", status.ToString());
  // A try that is due later stays where it is: a failure in between must not put it off for ever.
  const absl::Duration now = clock_->Now();
  if (failed_.empty() && status.ok()) {
    next_try_ = absl::InfiniteDuration();
    backoff_.Reset();
  } else if (next_try_ == absl::InfiniteDuration() || now >= next_try_) {
    next_try_ = now + backoff_.Next();
  }
  MutexLock lock(&mu_);
  stats_.waiting = failed_.size();
}

CheckpointWriter::Stats CheckpointWriter::stats() const {
  MutexLock lock(&mu_);
  Stats stats = stats_;
  stats.age = clock_->Now() - newest_at_;
  return stats;
}

absl::Status CheckpointWriter::CheckInPlace() const {
  const absl::Status status = store_->CheckInPlace();
  if (status.ok()) return status;
  const std::optional<uint64_t> newest = stats().newest;
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(),
                   newest ? absl::StrCat("; its newest checkpoint is of update ", *newest)
                          : "; it has no checkpoint"));
}

void CheckpointWriter::Close() {
  {
    MutexLock lock(&mu_);
    // TakePlace looks whether the queue is closed and begins to wait under one lock. The queue is
    // closed under the same lock, so that this signal cannot fall between the two.
    jobs_.Close();
    taken_.SignalAll();
  }
  thread_.Join();
  POMPC_CHECK_EQ(jobs_.size(), 0u, "requests that nobody has seen");
}

}  // namespace pompc::learner
