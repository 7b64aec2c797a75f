#include "learner/feed/prefetcher.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/values/split_mix.h"
#include "learner/feed/importance.h"

namespace pompc::learner {
namespace {

using Share = absl::StatusOr<replay::WindowBatch>;

// The time for which the thread waits at most before it looks whether it is to end.
constexpr absl::Duration kLookUp = absl::Seconds(1);

// True if the shard may deliver when it is asked again: unless it refuses the request or answers
// something else. gRPC's own failures are neither.
bool MayPass(const absl::Status& status) {
  return !absl::IsInvalidArgument(status) && !absl::IsDataLoss(status);
}

}  // namespace

PrefetcherOptions MakePrefetcherOptions(const proto::RunConfig& config, int rank, int world_size,
                                        uint64_t first_update) {
  const uint32_t ranks = static_cast<uint32_t>(world_size);
  POMPC_CHECK_EQ(config.learner().batch_size() % ranks, 0u);
  PrefetcherOptions options;
  options.batch_size = config.learner().batch_size() / ranks;
  options.batches = config.learner().prefetch_batches();
  options.seed = config.seed();
  options.rank = rank;
  options.first_update = first_update;
  options.beta = config::ImportanceExponent(config);
  return options;
}

PrefetchDepth::PrefetchDepth(uint32_t most)
    : least_(std::min(kLeast, most)), most_(most), depth_(least_) {}

bool PrefetchDepth::Wanted(size_t ready, size_t in_flight) {
  least_ready_ = wanted_ == 0 ? ready : std::min(least_ready_, ready);
  ++wanted_;
  if (ready == 0 && in_flight > 0 && depth_ < most_) {
    ++depth_;
    wanted_ = 0;
    return true;
  }
  if (wanted_ == kPeriod) {
    // One of those that were ready is what the update takes, the second was to spare.
    if (least_ready_ >= 2 && depth_ > least_) --depth_;
    wanted_ = 0;
  }
  return false;
}

// A batch on its way, guarded by the pipeline's mutex.
struct Prefetcher::Slot {
  enum class Stage { kToDraw, kInFlight, kReady };

  explicit Slot(uint64_t update) : update(update) {}

  bool complete() const { return stage == Stage::kInFlight && missing == 0; }

  const uint64_t update;
  Stage stage = Stage::kToDraw;
  // The shards that were asked, the probability with which a draw went to each, and the answer of
  // each.
  std::vector<size_t> asked;
  std::vector<double> probabilities;
  std::vector<std::optional<Share>> shares;
  size_t missing = 0;
  // What the update gets, when ready.
  std::optional<Item> item;
};

struct Prefetcher::Pipeline {
  explicit Pipeline(const PrefetcherOptions& options)
      : depth(options.batches), next_update(options.first_update) {}

  size_t Count(Slot::Stage stage) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return std::count_if(slots.begin(), slots.end(),
                         [stage](const auto& slot) { return slot->stage == stage; });
  }
  // The number of updates that could be made one after the other without waiting.
  size_t ReadyInOrder() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    const auto end = std::find_if(slots.begin(), slots.end(), [](const auto& slot) {
      return slot->stage != Slot::Stage::kReady;
    });
    return end - slots.begin();
  }
  // What the next update waits for.
  std::string Waiting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    if (!problem.empty()) return problem;
    std::string silent;
    if (!slots.empty() && !slots.front()->complete()) {
      const Slot& next = *slots.front();
      for (size_t i = 0; i < next.shares.size(); ++i) {
        if (next.shares[i].has_value()) continue;
        absl::StrAppend(&silent, silent.empty() ? " from shard " : ", ", next.asked[i]);
      }
    }
    return absl::StrCat("the learner waits for a batch", silent);
  }
  // Has the thread look for work.
  void Wake() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    woken = true;
    work.Signal();
  }

  mutable Mutex mu;
  // Wake the thread that draws, and Next.
  CondVar work;
  CondVar ready;
  // In the order of updates, without a gap.
  std::deque<std::shared_ptr<Slot>> slots ABSL_GUARDED_BY(mu);
  PrefetchDepth depth ABSL_GUARDED_BY(mu);
  // The update of the next slot.
  uint64_t next_update ABSL_GUARDED_BY(mu);
  // The update whose batch Next wanted last.
  std::optional<uint64_t> wanted ABSL_GUARDED_BY(mu);
  // Something has changed since the thread looked.
  bool woken ABSL_GUARDED_BY(mu) = false;
  // The newest slot holds the error after which nothing is drawn.
  bool last ABSL_GUARDED_BY(mu) = false;
  bool closed ABSL_GUARDED_BY(mu) = false;
  // Why there is no batch just now.
  std::string problem ABSL_GUARDED_BY(mu);
};

const std::array<absl::string_view, Prefetcher::kStates>& Prefetcher::StateNames() {
  static constexpr std::array<absl::string_view, kStates> kNames = {"waiting_for_data", "fetching",
                                                                    "full"};
  return kNames;
}

Prefetcher::Prefetcher(const PrefetcherOptions& options, run::SamplingControl* control,
                       WindowSource* shards, Engine* engine)
    : options_(options),
      control_(control),
      shards_(shards),
      engine_(engine),
      timer_(options.clock, State::kWaitingForData),
      avoid_until_(shards->size(), absl::ZeroDuration()),
      pipeline_(std::make_shared<Pipeline>(options)) {
  POMPC_CHECK_GT(options_.batch_size, 0u);
  POMPC_CHECK(options_.batches > 0 || !options_.ahead);
  if (options_.ahead) thread_ = Thread("prefetch", [this] { Run(); });
}

Prefetcher::~Prefetcher() { Close(); }

void Prefetcher::Run() {
  engine_->PrepareThread();
  Pipeline& pipeline = *pipeline_;
  while (!control_->Done()) {
    absl::Duration wait;
    const bool worked = RunOnce(&wait);
    MutexLock lock(&pipeline.mu);
    if (pipeline.closed) return;
    if (worked) continue;
    // Every batch before the error is ready, and none comes after it.
    if (pipeline.last && pipeline.ReadyInOrder() == pipeline.slots.size()) return;
    const absl::Duration until = options_.clock->Now() + wait;
    while (!pipeline.woken && !pipeline.closed) {
      if (!options_.clock->WaitUntil(&pipeline.work, &pipeline.mu, until)) break;
    }
  }
}

bool Prefetcher::RunOnce(absl::Duration* wait) {
  std::shared_ptr<Slot> to_draw;
  std::shared_ptr<Slot> complete;
  bool in_flight = false;
  {
    Pipeline& pipeline = *pipeline_;
    MutexLock lock(&pipeline.mu);
    pipeline.woken = false;
    while (!pipeline.last && pipeline.slots.size() < pipeline.depth.value()) {
      pipeline.slots.push_back(std::make_shared<Slot>(pipeline.next_update++));
    }
    for (const std::shared_ptr<Slot>& slot : pipeline.slots) {
      in_flight = in_flight || slot->stage == Slot::Stage::kInFlight;
      if (to_draw == nullptr && slot->stage == Slot::Stage::kToDraw) to_draw = slot;
      if (complete == nullptr && slot->complete()) complete = slot;
    }
  }
  // Requests go out before answers are put together: they need a round trip, and little of this
  // thread.
  bool may_draw = false;
  if (to_draw != nullptr) {
    if (!in_flight) timer_.Enter(State::kWaitingForData);
    may_draw = MayDraw(in_flight);
    if (may_draw && Request(to_draw)) return true;
  }
  if (complete != nullptr) {
    timer_.Enter(State::kFetching);
    Deliver(complete, Assemble(*complete));
    return true;
  }
  if (in_flight) {
    timer_.Enter(State::kFetching);
  } else {
    timer_.Enter(to_draw != nullptr ? State::kWaitingForData : State::kFull);
  }
  // A shard is left out for a moment only, and the control may say at any time that batches may be
  // drawn; where nothing else was to be waited for, MayDraw has waited for that.
  const bool has_waited = !may_draw && !in_flight;
  *wait = has_waited ? absl::ZeroDuration() : options_.avoid / 10;
  if (to_draw == nullptr) *wait = absl::InfiniteDuration();
  return false;
}

bool Prefetcher::MayDraw(bool others_in_flight) {
  if (control_->AwaitSampling(others_in_flight ? absl::ZeroDuration() : kLookUp)) return true;
  SetProblem("the learner waits for windows in replay");
  return false;
}

void Prefetcher::Deliver(const std::shared_ptr<Slot>& slot, Item item) {
  Pipeline& pipeline = *pipeline_;
  MutexLock lock(&pipeline.mu);
  if (absl::IsUnavailable(item.status())) {
    // Its place in the order of updates stays, and so does its seed.
    slot->stage = Slot::Stage::kToDraw;
    pipeline.problem = std::string(item.status().message());
    return;
  }
  pipeline.problem.clear();
  pipeline.last = pipeline.last || !item.ok();
  // Updates are made in order, so nothing behind the error will be asked for.
  while (!item.ok() && pipeline.slots.back() != slot) pipeline.slots.pop_back();
  POMPC_CHECK(slot->complete());
  slot->item = std::move(item);
  slot->stage = Slot::Stage::kReady;
  if (pipeline.slots.front() == slot) pipeline.ready.Signal();
}

absl::StatusOr<DrawnBatch> Prefetcher::DrawNow() {
  Pipeline& pipeline = *pipeline_;
  std::shared_ptr<Slot> slot;
  {
    MutexLock lock(&pipeline.mu);
    slot = std::make_shared<Slot>(pipeline.next_update);
  }
  timer_.Enter(State::kFetching);
  if (Request(slot)) {
    {
      // Every call to a shard has a deadline.
      MutexLock lock(&pipeline.mu);
      while (slot->missing > 0 && !pipeline.closed) pipeline.work.Wait(&pipeline.mu);
      if (pipeline.closed) return absl::CancelledError("no more batches are drawn");
    }
    Item item = Assemble(*slot);
    timer_.Enter(State::kWaitingForData);
    MutexLock lock(&pipeline.mu);
    if (!absl::IsUnavailable(item.status())) {
      ++pipeline.next_update;
      return item;
    }
    return absl::DeadlineExceededError(item.status().message());
  }
  timer_.Enter(State::kWaitingForData);
  MutexLock lock(&pipeline.mu);
  const absl::Duration until = options_.clock->Now() + options_.avoid / 10;
  while (!pipeline.closed) {
    if (!options_.clock->WaitUntil(&pipeline.work, &pipeline.mu, until)) break;
  }
  return absl::DeadlineExceededError(pipeline.problem);
}

uint64_t Prefetcher::SeedOf(uint64_t update) const {
  const uint64_t of_update = MixSeed(options_.seed, update);
  // Ranks are counted from beyond the shards' numbers, with which it is mixed as well.
  return options_.rank == 0 ? of_update
                            : MixSeed(of_update, (uint64_t{1} << 32) + options_.rank);
}

bool Prefetcher::Request(const std::shared_ptr<Slot>& slot) {
  const uint64_t seed = SeedOf(slot->update);
  const std::vector<uint64_t> masses = UsableMasses();
  const std::vector<uint32_t> split = replay::SplitBatch(options_.batch_size, masses, seed);
  if (std::accumulate(split.begin(), split.end(), uint64_t{0}) == 0) {
    // Every shard with windows failed a moment ago.
    SetProblem("the learner waits for shards to deliver windows");
    return false;
  }
  const auto whole =
      static_cast<double>(std::accumulate(masses.begin(), masses.end(), uint64_t{0}));
  std::vector<size_t> asked;
  std::vector<double> probabilities;
  for (size_t i = 0; i < split.size(); ++i) {
    if (split[i] == 0) continue;
    asked.push_back(i);
    probabilities.push_back(static_cast<double>(masses[i]) / whole);
  }
  {
    MutexLock lock(&pipeline_->mu);
    slot->stage = Slot::Stage::kInFlight;
    slot->asked = asked;
    slot->probabilities = std::move(probabilities);
    slot->shares.assign(asked.size(), std::nullopt);
    slot->missing = asked.size();
    // Whatever it was, the batch is on its way.
    pipeline_->problem.clear();
  }
  for (size_t position = 0; position < asked.size(); ++position) {
    const size_t shard = asked[position];
    shards_->SampleAsync(shard, split[shard], MixSeed(seed, shard),
                         [pipeline = pipeline_, slot, position](Share share) {
                           MutexLock lock(&pipeline->mu);
                           POMPC_CHECK(!slot->shares[position].has_value(), "two answers");
                           slot->shares[position] = std::move(share);
                           POMPC_CHECK_GT(slot->missing, 0u);
                           if (--slot->missing == 0) pipeline->Wake();
                         });
  }
  return true;
}

Prefetcher::Item Prefetcher::Assemble(Slot& slot) {
  std::vector<std::optional<Share>> shares;
  {
    MutexLock lock(&pipeline_->mu);
    shares.swap(slot.shares);
  }
  std::vector<replay::WindowBatch> windows;
  absl::Status failure;
  for (size_t position = 0; position < shares.size(); ++position) {
    POMPC_CHECK(shares[position].has_value(), "the batch is not complete");
    Share& share = *shares[position];
    const size_t shard = slot.asked[position];
    if (share.ok()) {
      windows.push_back(*std::move(share));
      continue;
    }
    if (!MayPass(share.status())) {
      return Annotate(share.status(), absl::StrCat("shard ", shard));
    }
    // The whole batch is drawn again, without this shard: a batch with the answers of the others
    // alone would be smaller and no longer uniform over the windows that are left.
    avoid_until_[shard] = options_.clock->Now() + options_.avoid;
    failure.Update(absl::UnavailableError(absl::StrCat("the learner waits for shard ", shard, ": ",
                                                       share.status().message())));
  }
  POMPC_RETURN_IF_ERROR(failure);
  // The masses by which the batch was split may be a moment older than what the shards drew from.
  // The product is the probability of each draw all the same, so that the weights are exact.
  std::vector<float> weights;
  if (options_.beta.has_value()) {
    weights = ImportanceWeights(windows, slot.probabilities, *options_.beta);
  }
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Engine::Batch> batch,
                         engine_->MakeBatch(windows, weights));
  return DrawnBatch{std::move(batch), OriginsOf(windows)};
}

std::vector<uint64_t> Prefetcher::UsableMasses() const {
  std::vector<uint64_t> masses = control_->Masses();
  const absl::Duration now = options_.clock->Now();
  for (size_t i = 0; i < masses.size(); ++i) {
    if (now < avoid_until_[i]) masses[i] = 0;
  }
  return masses;
}

void Prefetcher::SetProblem(std::string problem) {
  MutexLock lock(&pipeline_->mu);
  pipeline_->problem = std::move(problem);
}

absl::StatusOr<DrawnBatch> Prefetcher::Next(absl::Duration timeout) {
  Pipeline& pipeline = *pipeline_;
  const absl::Status closed = absl::CancelledError("no more batches are drawn");
  if (!options_.ahead) {
    {
      MutexLock lock(&pipeline.mu);
      if (pipeline.closed) return closed;
    }
    return DrawNow();
  }
  const absl::Duration deadline = options_.clock->Now() + timeout;
  MutexLock lock(&pipeline.mu);
  if (!pipeline.slots.empty() && pipeline.wanted != pipeline.slots.front()->update) {
    pipeline.wanted = pipeline.slots.front()->update;
    if (pipeline.depth.Wanted(pipeline.ReadyInOrder(), pipeline.Count(Slot::Stage::kInFlight))) {
      pipeline.Wake();
    }
  }
  while (pipeline.ReadyInOrder() == 0 && !pipeline.closed) {
    if (options_.clock->WaitUntil(&pipeline.ready, &pipeline.mu, deadline)) continue;
    if (pipeline.ReadyInOrder() > 0 || pipeline.closed) break;
    return absl::DeadlineExceededError(pipeline.Waiting());
  }
  if (pipeline.closed) return closed;
  const std::shared_ptr<Slot> first = std::move(pipeline.slots.front());
  POMPC_CHECK(first->item.has_value());
  pipeline.slots.pop_front();
  pipeline.Wake();
  return *std::move(first->item);
}

size_t Prefetcher::ready() const {
  MutexLock lock(&pipeline_->mu);
  return pipeline_->Count(Slot::Stage::kReady);
}

size_t Prefetcher::in_flight() const {
  MutexLock lock(&pipeline_->mu);
  return pipeline_->Count(Slot::Stage::kInFlight);
}

void Prefetcher::Close() {
  {
    MutexLock lock(&pipeline_->mu);
    pipeline_->closed = true;
    pipeline_->work.SignalAll();
    pipeline_->ready.SignalAll();
  }
  thread_.Join();
}

}  // namespace pompc::learner
