#ifndef POMPC_PLANNER_METRICS_H_
#define POMPC_PLANNER_METRICS_H_

#include <memory>

#include "common/metrics/metrics.h"
#include "planner/core/batcher.h"
#include "planner/run_table.h"

namespace pompc::planner {

// The planner's rows of docs/metrics.md. Thread-safe.
class PlannerMetrics {
 public:
  explicit PlannerMetrics(std::shared_ptr<MetricsRegistry> registry);

  // Enters one batch: BatcherOptions::on_batch.
  void Observe(const BatchReport& report);

  // Metrics of what these hold, which must outlive what is returned.
  [[nodiscard]] MetricSource Watch(const Batcher& batcher, const RunTable& runs);

 private:
  const std::shared_ptr<MetricsRegistry> registry_;
  prometheus::Histogram& queue_wait_seconds_;
  prometheus::Histogram& compute_seconds_;
  prometheus::Histogram& batch_requests_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_METRICS_H_
