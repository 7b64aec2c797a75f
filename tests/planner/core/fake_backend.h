#ifndef POMPC_TESTS_PLANNER_CORE_FAKE_BACKEND_H_
#define POMPC_TESTS_PLANNER_CORE_FAKE_BACKEND_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "planner/core/planner_run.h"

namespace pompc::planner {

inline PlanSpec FakeSpec() {
  return {.observation_size = 3, .action_size = 2, .horizon = 2, .max_batch = 4, .max_queue = 8};
}

inline std::shared_ptr<const PlannerModel> FakeModel(uint64_t number, PlanSpec spec = FakeSpec(),
                                                     uint64_t incarnation = 1) {
  return std::make_shared<PlannerModel>(ParameterVersion{incarnation, number}, "run", spec);
}

// A run without parameters.
inline std::shared_ptr<PlannerRun> FakeRun(const std::string& id, Clock* clock) {
  return std::make_shared<PlannerRun>(id, clock, /*max_kept=*/2);
}

inline PlanItem FakeItem(float value = 0, PlanSpec spec = FakeSpec()) {
  PlanItem item;
  item.observation.assign(spec.observation_size, value);
  item.seed = 7;
  return item;
}

// Plans without a model: the action repeats the first number of the observation, the value is the
// number of the version. A gate can hold batches back inside the backend.
class FakeBackend : public PlanBackend {
 public:
  explicit FakeBackend(int threads = 1, bool one_by_one = false)
      : threads_(threads), one_by_one_(one_by_one) {}

  int threads() const override { return threads_; }
  bool plans_one_by_one() const override { return one_by_one_; }
  absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                              absl::Span<const PlanItem* const> items) override {
    {
      MutexLock lock(&mu_);
      batch_sizes_.push_back(static_cast<int>(items.size()));
      batch_runs_.push_back(model.run_id());
      changed_.SignalAll();
      while (held_ && passes_ == 0) changed_.Wait(&mu_);
      if (held_) --passes_;
      if (!error_.ok()) return error_;
    }
    const PlanSpec& spec = model.spec();
    std::vector<Plan> plans;
    for (const PlanItem* item : items) {
      Plan plan;
      plan.action.assign(spec.action_size, item->observation[0]);
      plan.plan_mean = plan.action;
      plan.plan_std.assign(spec.action_size, 0.5f);
      plan.plan_value = static_cast<float>(model.version().number);
      plan.warm_start.assign(spec.horizon * spec.action_size, item->observation[0]);
      plans.push_back(std::move(plan));
    }
    return plans;
  }

  // Batches that start from now on stay inside until Release().
  void Hold() {
    MutexLock lock(&mu_);
    held_ = true;
  }
  void Release() {
    MutexLock lock(&mu_);
    held_ = false;
    changed_.SignalAll();
  }
  // Lets one of the batches that are held go, or the next one that starts.
  void ReleaseOne() {
    MutexLock lock(&mu_);
    ++passes_;
    changed_.SignalAll();
  }
  void FailWith(absl::Status error) {
    MutexLock lock(&mu_);
    error_ = std::move(error);
  }

  // Blocks until `n` batches have started.
  void AwaitBatches(size_t n) {
    MutexLock lock(&mu_);
    while (batch_sizes_.size() < n) changed_.Wait(&mu_);
  }
  // In the order of their start.
  std::vector<int> batch_sizes() {
    MutexLock lock(&mu_);
    return batch_sizes_;
  }
  // Their runs, in the same order.
  std::vector<std::string> batch_runs() {
    MutexLock lock(&mu_);
    return batch_runs_;
  }

 private:
  const int threads_;
  const bool one_by_one_;
  Mutex mu_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  int passes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status error_ ABSL_GUARDED_BY(mu_);
  std::vector<int> batch_sizes_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> batch_runs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_CORE_FAKE_BACKEND_H_
