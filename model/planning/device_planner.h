#ifndef POMPC_MODEL_PLANNING_DEVICE_PLANNER_H_
#define POMPC_MODEL_PLANNING_DEVICE_PLANNER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "common/base/threads.h"
#include "model/planning/plan.h"
#include "model/recorder.h"

namespace pompc::model {

// Plans on a device that works behind the host, with any parameters of one layout: the operations
// of a whole plan are recorded once for each size of batch and replayed from then on (Recorder).
// The host brings what varies in one copy, waits for nothing until the plans come back in another,
// and launches a batch at once. Batches are filled up to the next power of two, so that there are
// few recordings; they read parameters from a copy that this planner owns, so that a new version is
// one copy on the device and no recording. Thread-safe: one batch at a time.
class DevicePlanner {
 public:
  // `config` is one that config::Derive made; Plan takes models with its model and env.spec.
  // `make_recorder` is MakeRecorder for the model's device, but for tests.
  DevicePlanner(const proto::RunConfig& config, const WorldModel& like,
                std::function<std::unique_ptr<Recorder>()> make_recorder);

  // Plans as model::Plan does with all states in one pass. Instead of looking at the clock while it
  // plans, it decides beforehand how many iterations there is time for, by what those of earlier
  // batches of this size took; the first one makes all. REQUIRES: as Plan; the model is on the
  // device; states_per_pass is 0.
  Plans Plan(const WorldModel& model, const PlanInputs& inputs);

  // Records for all batches of up to `max_batch` plans, so that none of them waits for it later,
  // but for those with fewer iterations than planner.iterations: each number of iterations is
  // recorded when it first comes.
  void WarmUp(const WorldModel& model, int64_t max_batch);

  const proto::RunConfig& config() const { return config_; }
  // Batches that were replayed.
  int64_t replays() const;

 private:
  // Batches that are filled up to one size.
  struct Bucket {
    std::unique_ptr<Recorder> recorder;
    // The time that an iteration takes, a moving average; zero while nothing is measured.
    absl::Duration iteration;
    // Runs with each number of iterations.
    std::map<int, int> runs;
  };

  Bucket& BucketFor(int64_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The number of iterations that end by `finish_by`, at least one.
  int AffordableIterations(const Bucket& bucket, absl::Duration finish_by,
                           absl::Duration now) const;

  const proto::RunConfig config_;
  const std::function<std::unique_ptr<Recorder>()> make_recorder_;

  mutable Mutex mu_;
  // The parameters that recorded operations read.
  WorldModel model_ ABSL_GUARDED_BY(mu_);
  // The buckets by the size that their batches are filled up to.
  std::map<int64_t, Bucket> buckets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_DEVICE_PLANNER_H_
