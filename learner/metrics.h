#ifndef POMPC_LEARNER_METRICS_H_
#define POMPC_LEARNER_METRICS_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "common/metrics/metrics.h"
#include "learner/checkpoint_writer.h"
#include "learner/feed/batch_history.h"
#include "learner/feed/plan_writer.h"
#include "learner/feed/prefetcher.h"
#include "learner/feed/priority_writer.h"
#include "learner/follower.h"
#include "learner/ranks/rank_group.h"
#include "learner/trainer.h"
#include "parameters/parameter_service.h"
#include "run/control/run_control.h"

namespace pompc::learner {

// What the learner's metrics are read from.
struct LearnerMetricSources {
  const run::RunControl* control = nullptr;
  const Trainer* trainer = nullptr;
  const Prefetcher* prefetcher = nullptr;
  const CheckpointWriter* checkpoints = nullptr;
  const parameters::ParameterService* parameters = nullptr;
  const PlanWriter* plans = nullptr;
  const PriorityWriter* priorities = nullptr;
  // Names of what an update reports, and of what may not be finite in one.
  std::vector<std::string> values;
  std::vector<std::string> losses;
  const RankGroup* ranks = nullptr;
  // The run, its folder and its task.
  std::string run_id;
  std::string run_dir;
  std::string task;
  // Actors that should take part: AppOptions::expected_actors, or 0 where the run has none.
  uint32_t expected_actors = 0;
};

// The learner's rows of docs/metrics.md. The sources must outlive what is returned.
[[nodiscard]] MetricSource AddLearnerMetrics(MetricsRegistry& registry,
                                             const LearnerMetricSources& sources);

// What a follower's metrics are read from.
struct FollowerMetricSources {
  // Updates made.
  const std::atomic<uint64_t>* updates = nullptr;
  const Prefetcher* prefetcher = nullptr;
  const PlanWriter* plans = nullptr;
  const PriorityWriter* priorities = nullptr;
  const BatchHistory* history = nullptr;
  // The timer of the thread that makes the updates.
  const Follower::Timer* timer = nullptr;
  std::string run_id;
};

// Likewise, a follower's.
[[nodiscard]] MetricSource AddFollowerMetrics(MetricsRegistry& registry,
                                              const FollowerMetricSources& sources);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_METRICS_H_
