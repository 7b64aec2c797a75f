#include "planner/metrics.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::planner {
namespace {

// 0.1 ms to 100 s, two buckets a decade: from a plan that waits for nobody to one that is a stall.
const std::vector<double>& SecondsBuckets() {
  static const auto* buckets =
      new std::vector<double>{1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100};
  return *buckets;
}

const std::vector<double>& SizeBuckets() {
  static const auto* buckets =
      new std::vector<double>{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
  return *buckets;
}

void AddBatcher(const Batcher& batcher, MetricSamples& out) {
  for (int i = 0; i < batcher.threads(); ++i) {
    out.StateSeconds("pompc_planner_state_seconds_total",
                     "Time that each planning thread has spent in each state; a worker's states "
                     "sum to its wall time.",
                     batcher.timer(i), {"idle", "computing", "replying"},
                     {{"worker", absl::StrCat(i)}});
  }
  const Batcher::Stats stats = batcher.stats();
  out.Counter("pompc_planner_plans_total", "Plans made.", stats.plans);
  // One metric with a label for each reason: a dashboard then shows their sum without knowing them.
  const std::pair<const char*, uint64_t> unplanned[] = {
      {"expired", stats.expired}, {"cancelled", stats.cancelled}, {"failed", stats.failed}};
  for (const auto& [reason, requests] : unplanned) {
    out.Counter("pompc_planner_unplanned_requests_total",
                "Accepted requests that got no plan: their deadline passed in the queue, their "
                "caller gave up, or planning failed.",
                requests, {{"reason", reason}});
  }
  out.Gauge("pompc_planner_queued_requests", "Requests waiting for a batch.", stats.queued);
}

void AddParameters(const ParameterStore& store, const parameters::ParameterSubscriber& subscriber,
                   MetricSamples& out) {
  const std::shared_ptr<const PlannerModel> model = store.Newest();
  const ParameterVersion newest = model == nullptr ? ParameterVersion() : model->version();
  out.Gauge("pompc_planner_parameters_incarnation", "Learner start of the newest parameters.",
            newest.incarnation);
  out.Gauge("pompc_planner_parameters_number", "Number of the newest parameters; 0 without any.",
            newest.number);
  out.Gauge("pompc_planner_kept_versions", "Parameter versions held for evaluations.",
            store.Kept().size());
  const parameters::ParameterSubscriber::Status status = subscriber.status();
  out.Counter("pompc_planner_received_versions_total", "Parameter versions received.",
              status.versions);
  out.Counter("pompc_planner_received_bytes_total", "Bytes of parameters received.", status.bytes);
  out.Counter("pompc_planner_learner_disconnects_total",
              "Parameter streams that ended or could not be opened.", status.disconnects);
  out.Gauge("pompc_planner_learner_connected", "1 while the parameter stream is open, else 0.",
            status.connected ? 1 : 0);
}

}  // namespace

PlannerMetrics::PlannerMetrics(std::shared_ptr<MetricsRegistry> registry)
    : registry_(std::move(registry)),
      queue_wait_seconds_(registry_->Histogram(
          {"pompc_planner_queue_wait_seconds", "Time that requests waited for their batch.", {}},
          SecondsBuckets())),
      compute_seconds_(registry_->Histogram(
          {"pompc_planner_compute_seconds", "Time that batches took to plan.", {}},
          SecondsBuckets())),
      batch_requests_(registry_->Histogram(
          {"pompc_planner_batch_requests", "Requests planned together.", {}}, SizeBuckets())) {}

void PlannerMetrics::Observe(const BatchReport& report) {
  POMPC_CHECK(!report.queue_waits.empty());
  compute_seconds_.Observe(absl::ToDoubleSeconds(report.compute));
  batch_requests_.Observe(static_cast<double>(report.queue_waits.size()));
  for (const absl::Duration wait : report.queue_waits) {
    queue_wait_seconds_.Observe(absl::ToDoubleSeconds(wait));
  }
}

// A scrape asks the objects, which count anyway: a copy that is kept up to date would be one more
// thing to keep right.
MetricSource PlannerMetrics::Watch(const Batcher& batcher, const ParameterStore& store,
                                   const parameters::ParameterSubscriber& subscriber) {
  return registry_->AddSource([&batcher, &store, &subscriber](MetricSamples& out) {
    AddBatcher(batcher, out);
    AddParameters(store, subscriber, out);
  });
}

}  // namespace pompc::planner
