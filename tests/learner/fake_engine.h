#ifndef POMPC_TESTS_LEARNER_FAKE_ENGINE_H_
#define POMPC_TESTS_LEARNER_FAKE_ENGINE_H_

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/io/files.h"
#include "common/values/not_finite.h"
#include "learner/engine/engine.h"
#include "tests/learner/fake_exchange.h"

namespace pompc::learner {

// Trains nothing: its one parameter is the number of updates, its one value the number of windows
// in the batch. The test may let updates fail, all of a number or those with poisoned windows, and
// give it other ranks.
class FakeEngine : public Engine {
 public:
  FakeEngine() = default;
  FakeEngine(int rank, std::shared_ptr<FakeExchange> others)
      : rank_(rank), others_(std::move(others)) {}

  absl::Status Connect(std::shared_ptr<Rendezvous> rendezvous) override {
    if (others_ == nullptr) return absl::OkStatus();
    if (rank_ == 0) return rendezvous->Put("updates", absl::StrCat(updates_.load()));
    const absl::StatusOr<std::string> text = rendezvous->Get("updates", absl::Seconds(20));
    uint64_t updates = 0;
    if (!text.ok() || !absl::SimpleAtoi(*text, &updates)) return text.status();
    updates_ = updates;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<int64_t>> Exchange(int64_t own) override {
    if (others_ == nullptr) return std::vector<int64_t>{own};
    return others_->Give(rank_, own);
  }

  class FakeBatch : public Batch {
   public:
    uint32_t windows = 0;
    // One row of each shard.
    std::vector<PlanUpdate> rows;
    // Positions of the windows that have a reward of kPoison or more.
    std::vector<uint32_t> poisoned;
    // What MakeBatch got.
    std::vector<float> weights;
  };
  // No update can be made with a window that has such a reward.
  static constexpr float kPoison = 1000;

  class FakeState : public State {
   public:
    FakeState(uint64_t updates, std::shared_ptr<std::atomic<int>> failures,
              std::shared_ptr<Event> write_after)
        : updates_(updates), failures_(std::move(failures)), write_after_(std::move(write_after)) {}
    absl::Status Write(const std::string& folder) const override {
      if (write_after_ != nullptr) write_after_->Wait();
      if (failures_->fetch_sub(1) > 0) return absl::ResourceExhaustedError("no space left");
      *failures_ = 0;
      return WriteFileAtomically(folder + "/engine", absl::StrCat(updates_));
    }

   private:
    const uint64_t updates_;
    const std::shared_ptr<std::atomic<int>> failures_;
    const std::shared_ptr<Event> write_after_;
  };

  absl::StatusOr<std::unique_ptr<Batch>> MakeBatch(const std::vector<replay::WindowBatch>& shares,
                                                   std::span<const float> weights) override {
    auto batch = std::make_unique<FakeBatch>();
    batch->weights.assign(weights.begin(), weights.end());
    for (const replay::WindowBatch& share : shares) {
      const std::vector<float> rewards = share.Numbers<float>("rewards");
      for (size_t i = 0; i < rewards.size(); ++i) {
        const auto window =
            static_cast<uint32_t>(batch->windows + i / (rewards.size() / share.count()));
        std::vector<uint32_t>& poisoned = batch->poisoned;
        if (rewards[i] < kPoison || (!poisoned.empty() && poisoned.back() == window)) continue;
        poisoned.push_back(window);
      }
      batch->windows += share.count();
      PlanUpdate row;
      row.shard = share.info().shard_index();
      row.opening = share.opening();
      row.addresses = {share.Numbers<uint64_t>("addresses")[0]};
      batch->rows.push_back(std::move(row));
    }
    ++batches_made_;
    if (bad_batch && bad_batch(batches_made_) && batch->poisoned.empty()) batch->poisoned = {0};
    return batch;
  }

  absl::StatusOr<NamedValues> Step(const Batch& batch, bool want_values) override {
    Await();
    const bool poisoned = !static_cast<const FakeBatch&>(batch).poisoned.empty();
    const absl::StatusOr<std::vector<int64_t>> told =
        Exchange(static_cast<int64_t>(2 * updates_ + (poisoned ? 1 : 0)));
    if (!told.ok()) return told.status();
    if (told->front() / 2 != told->back() / 2) return absl::InternalError("ranks are not in step");
    const bool any_poisoned =
        std::any_of(told->begin(), told->end(), [](int64_t number) { return number % 2 != 0; });
    const bool fails = updates_ + 1 == fail_at && failures_left > 0;
    if (fails) --failures_left;
    if (any_poisoned && notices_late) spoilt_ = true;
    if (fails || (any_poisoned && !notices_late)) {
      // Half made, as a real one would be.
      updates_ += 1000;
      return NotFiniteError("model", "the model loss is not finite");
    }
    ++updates_;
    if (const auto& drawn = static_cast<const FakeBatch&>(batch); !drawn.weights.empty()) {
      for (const PlanUpdate& row : drawn.rows) {
        priorities_.push_back({row.shard, row.opening, row.addresses, {kPriority}});
      }
    }
    NamedValues values;
    if (want_values) {
      values.emplace_back("windows", static_cast<const FakeBatch&>(batch).windows);
    }
    return values;
  }

  // One window of each share of a weighted batch has this priority.
  static constexpr float kPriority = 50;
  std::vector<PriorityUpdate> TakePriorities() override { return std::exchange(priorities_, {}); }

  absl::StatusOr<std::vector<uint32_t>> FindUnusable(const Batch& batch) override {
    return static_cast<const FakeBatch&>(batch).poisoned;
  }

  // Plans of mean 0.75 and standard deviation 0.125, for actions of one number.
  absl::StatusOr<std::vector<PlanUpdate>> Reanalyze(Batch& batch) override {
    std::vector<PlanUpdate> updates = static_cast<const FakeBatch&>(batch).rows;
    MutexLock lock(&mu_);
    for (PlanUpdate& update : updates) {
      update.plan_mean = {0.75f};
      update.plan_std = {0.125f};
      replanned_.emplace(update.shard, update.addresses[0]);
    }
    return updates;
  }
  // Shards and addresses of the rows that were planned anew.
  std::set<std::pair<uint32_t, uint64_t>> replanned() {
    MutexLock lock(&mu_);
    return replanned_;
  }

  std::vector<std::string> ValueNames() const override { return {"windows"}; }
  std::vector<std::string> LossNames() const override { return {"model", "policy"}; }
  uint64_t update_count() const override { return updates_; }

  absl::Status Keep() override {
    if (spoilt_at > 0 && updates_ >= spoilt_at) {
      spoilt_at = 0;
      return NotFiniteError("policy", "the policy is not finite");
    }
    if (spoilt_) return NotFiniteError("policy", "the policy is not finite");
    kept_ = updates_.load();
    return absl::OkStatus();
  }
  void GoBack() override {
    updates_ = kept_;
    spoilt_ = false;
  }

  absl::StatusOr<std::shared_ptr<const std::string>> PackParameters(
      proto::ParametersDescription* description) override {
    const float updates = static_cast<float>(updates_);
    std::string data(sizeof(updates), '\0');
    std::memcpy(data.data(), &updates, sizeof(updates));
    proto::TensorDescription* tensor = description->add_tensors();
    tensor->set_name("updates");
    tensor->set_dtype("F32");
    tensor->add_shape(1);
    tensor->set_bytes(data.size());
    return std::make_shared<const std::string>(std::move(data));
  }

  std::unique_ptr<State> Export() override {
    return std::make_unique<FakeState>(updates_, write_failures, write_after);
  }

  absl::Status Import(const std::string& folder) override {
    const absl::StatusOr<std::string> text = ReadFile(folder + "/engine");
    uint64_t updates = 0;
    if (!text.ok() || !absl::SimpleAtoi(*text, &updates)) {
      return absl::DataLossError(folder + "/engine cannot be read");
    }
    updates_ = updates;
    return absl::OkStatus();
  }

  // The update that is not made, counted from 1, and how often it fails.
  std::atomic<uint64_t> fail_at{0};
  std::atomic<int> failures_left{1};
  // The update that spoils the state without being noticed before the state is to be kept.
  std::atomic<uint64_t> spoilt_at{0};
  // Which of the batches made here, counted from 1, have a window as if it was poisoned.
  std::function<bool(int)> bad_batch;
  // Updates with poisoned windows are made, and their state is found spoilt when it is to be kept.
  bool notices_late = false;

  // So many writes of the state find the disk full.
  const std::shared_ptr<std::atomic<int>> write_failures = std::make_shared<std::atomic<int>>(0);

  // Writes of the state wait for it, unless it is null.
  std::shared_ptr<Event> write_after;

  // Updates wait until Release.
  void Hold() { SetHeld(true); }
  void Release() { SetHeld(false); }

 private:
  void SetHeld(bool held) {
    MutexLock lock(&mu_);
    held_ = held;
    changed_.SignalAll();
  }
  void Await() {
    MutexLock lock(&mu_);
    while (held_) changed_.Wait(&mu_);
  }

  const int rank_ = 0;
  const std::shared_ptr<FakeExchange> others_;
  Mutex mu_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  std::set<std::pair<uint32_t, uint64_t>> replanned_ ABSL_GUARDED_BY(mu_);
  std::atomic<uint64_t> updates_{0};
  std::vector<PriorityUpdate> priorities_;
  std::atomic<int> batches_made_{0};
  uint64_t kept_ = 0;
  bool spoilt_ = false;
};

}  // namespace pompc::learner

#endif  // POMPC_TESTS_LEARNER_FAKE_ENGINE_H_
