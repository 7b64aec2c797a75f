#include "learner/feed/shard_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry.h"
#include "common/process/log.h"

namespace pompc::learner {
namespace {

// True for the refusal of a shard that another start of this run's learner holds.
bool IsHeldByAnotherStart(const absl::Status& status) { return absl::IsAborted(status); }

// True if trying again cannot help, unless another process ends.
bool IsRefusal(const absl::Status& status) {
  return IsHeldByAnotherStart(status) || IsLasting(status);
}

}  // namespace

ShardManager::ShardManager(const ShardManagerOptions& options, run::RunControl* control)
    : options_(options),
      control_(control),
      clients_(options_.run_id, options_.shards, options_.config, options_.timeout,
               options_.start) {
  for (size_t i = 0; i < clients_.size(); ++i) links_.push_back(std::make_unique<Link>());
  for (size_t i = 0; i < clients_.size(); ++i) {
    const int shard = static_cast<int>(i);
    threads_.emplace_back(absl::StrCat("shard-", shard), [this, shard] { Run(shard); });
  }
}

ShardManager::~ShardManager() { Close(); }

void ShardManager::Run(int shard) {
  Backoff backoff(options_.backoff, options_.config.seed() + shard);
  uint64_t told = 0;
  absl::Duration pause = absl::ZeroDuration();
  while (Pause(pause, &told)) {
    const absl::Status status = Exchange(shard);
    // Rows of data sets come in pieces, so that grants are not held up by them.
    pause = Importing(shard) ? absl::ZeroDuration() : options_.grant_interval;
    if (status.ok()) {
      backoff.Reset();
    } else {
      if (!MayTryAgain(shard, status)) return;
      pause = backoff.Next();
    }
  }
}

bool ShardManager::Pause(absl::Duration pause, uint64_t* told) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = options_.clock->Now() + pause;
  while (!closed_ && news_ == *told) {
    if (!options_.clock->WaitUntil(&changed_, &mu_, deadline)) break;
  }
  *told = news_;
  return !closed_;
}

void ShardManager::GrantNow() {
  MutexLock lock(&mu_);
  ++news_;
  changed_.SignalAll();
}

absl::Status ShardManager::Exchange(int shard) {
  Link& link = *links_[shard];
  MutexLock lock(&link.mu);
  const absl::Status status = ExchangeLocked(shard, &link);
  if (!status.ok()) LoseLocked(shard, status, &link);
  return status;
}

// The loss is told within the exchange: told later, it could contradict the answer to another
// exchange that came between.
void ShardManager::LoseLocked(int shard, const absl::Status& status, Link* link) {
  link->configured = false;
  {
    MutexLock lock(&mu_);
    if (closed_) return;
  }
  if (control_->ShardLost(shard, std::string(status.message()), link->loading)) {
    Log().warn("shard {} at {} is unreachable: {}", shard, options_.shards[shard].address(),
               status.ToString());
  }
}

// One shard after the other: it is called where the learner waits for the answers anyway.
absl::Status ShardManager::Refresh() {
  for (size_t i = 0; i < links_.size(); ++i) {
    POMPC_RETURN_IF_ERROR(
        Annotate(Exchange(static_cast<int>(i)), absl::StrCat("replay shard ", i)));
  }
  return absl::OkStatus();
}

absl::Status ShardManager::ExchangeLocked(int shard, Link* link) {
  replay::ShardClient& client = clients_[shard];
  link->loading = false;
  // Configure comes first, also after every loss of the shard: a shard that was restarted knows no
  // run, and refuses everything else until then.
  if (!link->configured) {
    const absl::StatusOr<proto::ShardInfo> configured = client.Configure();
    if (absl::IsUnavailable(configured.status())) {
      // A shard that loads its rows answers this call alone.
      const absl::StatusOr<proto::ShardInfo> state = client.Info();
      link->loading = state.ok() && state->has_loaded_percent();
    }
    POMPC_ASSIGN_OR_RETURN(const proto::ShardInfo info, configured);
    Log().info("shard {} at {} is ready: {} rows", shard, options_.shards[shard].address(),
               info.stored_rows());
    TellAgreed();
    // The shard may have another memory than before; if not, it says that it has them already.
    link->imports.clear();
    for (const replay::CheckedDataSet& data_set : options_.data_sets) {
      link->imports.emplace_back(data_set, static_cast<uint32_t>(shard),
                                 static_cast<uint32_t>(clients_.size()));
    }
    control_->ShardAnswered(shard, info, false);
    link->configured = link->answered = true;
  }
  POMPC_RETURN_IF_ERROR(Import(shard, link));
  // What is granted is asked for as late as possible: Configure may have taken seconds.
  const run::ShardGrant grant = control_->NextGrant(shard);
  POMPC_ASSIGN_OR_RETURN(const proto::ShardInfo info,
                         client.Grant({grant.max_accepted_rows, grant.reason, grant.seed_phase_over,
                                       grant.newest_version, grant.newest_lease}));
  control_->ShardAnswered(shard, info, grant.seed_phase_over);
  return absl::OkStatus();
}

absl::Status ShardManager::Import(int shard, Link* link) {
  if (link->imports.empty()) return absl::OkStatus();
  uint64_t rows = 0, of = 0;
  bool stepped = false;
  for (replay::DataSetImport& import : link->imports) {
    if (!import.done() && !stepped) {
      const absl::Status status = import.Step(&clients_[shard]);
      // The rows themselves are refused, and would be again.
      if (absl::IsInvalidArgument(status)) Refused(shard, status);
      POMPC_RETURN_IF_ERROR(status);
      stepped = true;
    }
    rows += import.rows_done();
    of += import.rows();
  }
  const bool done = std::all_of(link->imports.begin(), link->imports.end(),
                                [](const auto& import) { return import.done(); });
  // A part without rows is done only once the shard was asked.
  if (done || rows < of) control_->ShardImported(shard, rows, of);
  if (!done) return absl::OkStatus();
  link->imports.clear();
  Log().info("shard {} has its {} rows of replay.import", shard, of);
  return absl::OkStatus();
}

bool ShardManager::Importing(int shard) {
  Link& link = *links_[shard];
  MutexLock lock(&link.mu);
  return !link.imports.empty();
}

void ShardManager::TellAgreed() {
  {
    MutexLock lock(&mu_);
    if (std::exchange(agreed_, true)) return;
  }
  if (options_.on_agreed) options_.on_agreed();
}

bool ShardManager::MayTryAgain(int shard, const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    if (closed_) return false;
  }
  // An unreachable shard may come back at any time, and so may one that another run has taken while
  // it was down. Only a refusal at the first contact is a mistake of whoever started the learner.
  if (!IsRefusal(status) || TakenByOthers(shard, status)) return true;
  Refused(shard, status);
  return false;
}

void ShardManager::Refused(int shard, const absl::Status& status) {
  bool first = false;
  {
    MutexLock lock(&mu_);
    first = !std::exchange(refused_, true);
  }
  // Every shard may refuse, but the learner ends with one error. It is told without the lock, since
  // the listener may ask the manager for its clients.
  if (first && options_.on_refused) {
    options_.on_refused(Annotate(
        status, absl::StrCat("replay shard ", shard, " at ", options_.shards[shard].address())));
  }
}

bool ShardManager::TakenByOthers(int shard, const absl::Status& refusal) {
  if (IsHeldByAnotherStart(refusal)) return false;
  Link& link = *links_[shard];
  MutexLock lock(&link.mu);
  if (!link.answered) return false;
  if (link.refusals.Count(options_.clock->Now()) > 0) {
    Log().error("shard {} at {}, which belonged to this run, refuses it and will be retried: {}",
                shard, options_.shards[shard].address(), refusal.ToString());
  }
  return true;
}

void ShardManager::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
    changed_.SignalAll();
  }
  // A thread may be in a call to a shard; cancelled, the call ends, and the thread sees closed_.
  clients_.Close();
  for (Thread& thread : threads_) thread.Join();
}

}  // namespace pompc::learner
