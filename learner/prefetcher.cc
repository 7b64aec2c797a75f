#include "learner/prefetcher.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "learner/control/mix_seed.h"
#include "replay/client/batch_split.h"

namespace pompc::learner {
namespace {

using Share = absl::StatusOr<replay::WindowBatch>;

// How long the thread waits at most before it looks whether it is to end.
constexpr absl::Duration kLookUp = absl::Seconds(1);

// Whether the shard may deliver when it is asked again. Not where it refuses what is asked for, or
// answers something else; gRPC's own failures are none of these.
bool MayPass(const absl::Status& status) {
  return !absl::IsInvalidArgument(status) && !absl::IsDataLoss(status);
}

// Collects the answers of several shards. Callbacks hold it too, so it lives until the last came.
class Gather {
 public:
  explicit Gather(size_t shares) : shares_(shares), missing_(shares) {}

  void Put(size_t position, Share share) {
    MutexLock lock(&mu_);
    shares_[position] = std::move(share);
    if (--missing_ == 0) complete_.Signal();
  }
  // Waits; every call to a shard has a deadline.
  std::vector<std::optional<Share>> Take() {
    MutexLock lock(&mu_);
    while (missing_ > 0) complete_.Wait(&mu_);
    return std::move(shares_);
  }

 private:
  Mutex mu_;
  CondVar complete_;
  std::vector<std::optional<Share>> shares_ ABSL_GUARDED_BY(mu_);
  size_t missing_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

const std::array<absl::string_view, Prefetcher::kStates>& Prefetcher::StateNames() {
  static constexpr std::array<absl::string_view, kStates> kNames = {"waiting_for_data", "fetching",
                                                                    "full"};
  return kNames;
}

Prefetcher::Prefetcher(const PrefetcherOptions& options, SamplingControl* control,
                       ShardClients* shards, Engine* engine)
    : options_(options),
      control_(control),
      shards_(shards),
      engine_(engine),
      queue_(options.batches),
      timer_(options.clock, State::kWaitingForData),
      update_(options.first_update),
      avoid_until_(shards->size(), absl::ZeroDuration()) {
  if (options_.ahead) thread_ = Thread("prefetch", [this] { Run(); });
}

Prefetcher::~Prefetcher() { Close(); }

void Prefetcher::Run() {
  engine_->PrepareThread();
  while (!closed_.IsSet() && !control_->Done()) {
    timer_.Enter(State::kWaitingForData);
    if (!control_->AwaitSampling(kLookUp)) {
      SetProblem("the learner waits for windows in replay");
      continue;
    }
    timer_.Enter(State::kFetching);
    Item batch = Draw(update_);
    if (absl::IsUnavailable(batch.status())) {
      SetProblem(std::string(batch.status().message()));
      continue;
    }
    SetProblem("");
    timer_.Enter(State::kFull);
    const bool last = !batch.ok();
    if (!queue_.Push(std::move(batch)) || last) return;
    ++update_;
  }
}

absl::StatusOr<DrawnBatch> Prefetcher::DrawNow() {
  timer_.Enter(State::kFetching);
  absl::StatusOr<DrawnBatch> batch = Draw(update_);
  timer_.Enter(State::kWaitingForData);
  if (absl::IsUnavailable(batch.status())) {
    return absl::DeadlineExceededError(batch.status().message());
  }
  ++update_;
  return batch;
}

Prefetcher::Item Prefetcher::Draw(uint64_t update) {
  const uint64_t of_update = MixSeed(options_.seed, update);
  // Beyond the shards' numbers, with which it is mixed below.
  const uint64_t seed =
      options_.rank == 0 ? of_update : MixSeed(of_update, (uint64_t{1} << 32) + options_.rank);
  const std::vector<uint32_t> split =
      replay::SplitBatch(options_.batch_size, UsableWindows(), seed);
  if (std::accumulate(split.begin(), split.end(), uint64_t{0}) == 0) {
    // Every shard with windows just failed.
    timer_.Enter(State::kWaitingForData);
    closed_.WaitUntil(options_.clock, options_.clock->Now() + options_.avoid / 10);
    return absl::UnavailableError("the learner waits for shards to deliver windows");
  }
  POMPC_ASSIGN_OR_RETURN(const std::vector<replay::WindowBatch> shares, Fetch(split, seed));
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Engine::Batch> batch, engine_->MakeBatch(shares));
  return DrawnBatch{std::move(batch), OriginsOf(shares)};
}

absl::StatusOr<std::vector<replay::WindowBatch>> Prefetcher::Fetch(
    const std::vector<uint32_t>& split, uint64_t seed) {
  std::vector<size_t> asked;
  for (size_t i = 0; i < split.size(); ++i) {
    if (split[i] > 0) asked.push_back(i);
  }
  auto gather = std::make_shared<Gather>(asked.size());
  for (size_t position = 0; position < asked.size(); ++position) {
    const size_t shard = asked[position];
    (*shards_)[shard].SampleAsync(
        split[shard], MixSeed(seed, shard),
        [gather, position](Share share) { gather->Put(position, std::move(share)); });
  }
  std::vector<std::optional<Share>> shares = gather->Take();
  std::vector<replay::WindowBatch> windows;
  absl::Status failure;
  for (size_t position = 0; position < asked.size(); ++position) {
    Share& share = *shares[position];
    if (share.ok()) {
      windows.push_back(*std::move(share));
      continue;
    }
    if (!MayPass(share.status())) {
      return Annotate(share.status(), absl::StrCat("shard ", asked[position]));
    }
    avoid_until_[asked[position]] = options_.clock->Now() + options_.avoid;
    failure.Update(absl::UnavailableError(absl::StrCat(
        "the learner waits for shard ", asked[position], ": ", share.status().message())));
  }
  if (!failure.ok()) return failure;
  return windows;
}

std::vector<uint64_t> Prefetcher::UsableWindows() const {
  std::vector<uint64_t> windows = control_->Windows();
  const absl::Duration now = options_.clock->Now();
  for (size_t i = 0; i < windows.size(); ++i) {
    if (now < avoid_until_[i]) windows[i] = 0;
  }
  return windows;
}

void Prefetcher::SetProblem(std::string problem) {
  MutexLock lock(&mu_);
  problem_ = std::move(problem);
}

absl::StatusOr<DrawnBatch> Prefetcher::Next(absl::Duration timeout) {
  if (!options_.ahead && !closed_.IsSet()) return DrawNow();
  std::optional<Item> item = queue_.Pop(options_.clock, options_.clock->Now() + timeout);
  if (item.has_value()) return *std::move(item);
  if (queue_.closed()) return absl::CancelledError("no more batches are drawn");
  MutexLock lock(&mu_);
  return absl::DeadlineExceededError(problem_.empty() ? "the learner waits for a batch" : problem_);
}

void Prefetcher::Close() {
  closed_.Set();
  queue_.Close();
  thread_.Join();
}

}  // namespace pompc::learner
