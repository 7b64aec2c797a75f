#include "planner/metrics.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

void AddThreads(const Batcher& batcher, MetricSamples& out) {
  for (int i = 0; i < batcher.threads(); ++i) {
    out.StateSeconds("pompc_planner_state_seconds_total",
                     "Time that each planning thread has spent in each state; a worker's states "
                     "sum to its wall time.",
                     batcher.timer(i), {"idle", "computing", "replying"},
                     {{"worker", absl::StrCat(i)}});
  }
}

// What is measured of one run. Runs that are not known yet count as one without a name.
struct RunFigures {
  PlannerRun::Stats stats;
  ParameterVersion newest;
  size_t queued = 0;
  size_t kept = 0;
  parameters::ParameterSubscriber::Status status;
  bool connected = true;
};

std::map<std::string, RunFigures> Figures(const Batcher& batcher, const RunTable& runs) {
  std::map<std::string, RunFigures> figures;
  for (const RunTable::Entry& entry : runs.List()) {
    RunFigures& run = figures[entry.run_id];
    run.status.versions += entry.status.versions;
    run.status.bytes += entry.status.bytes;
    run.status.disconnects += entry.status.disconnects;
    run.connected = run.connected && entry.status.connected;
    if (entry.run == nullptr) continue;
    run.stats = entry.run->stats();
    const std::shared_ptr<const PlannerModel> model = entry.run->parameters().Newest();
    if (model != nullptr) run.newest = model->version();
    run.kept = entry.run->parameters().Kept().size();
    run.queued = batcher.queued(entry.run_id);
  }
  return figures;
}

void AddRequests(const RunFigures& run, const MetricLabels& labels, MetricSamples& out) {
  const PlannerRun::Stats& stats = run.stats;
  out.Counter("pompc_planner_plans_total", "Plans made.", stats.plans, labels);
  out.Counter("pompc_planner_iterations_total", "Iterations of the searches for these plans.",
              stats.iterations, labels);
  out.Counter("pompc_planner_shortened_plans_total",
              "Plans with fewer iterations than planner.iterations, because of planner.budget_ms.",
              stats.shortened, labels);
  // One metric with a label for each reason: a dashboard then shows their sum without knowing them.
  const std::pair<const char*, uint64_t> unplanned[] = {{"expired", stats.expired},
                                                        {"cancelled", stats.cancelled},
                                                        {"failed", stats.failed},
                                                        {"refused", stats.refused}};
  for (const auto& [reason, requests] : unplanned) {
    MetricLabels with_reason = labels;
    with_reason["reason"] = reason;
    out.Counter("pompc_planner_unplanned_requests_total",
                "Requests that got no plan: their deadline passed in the queue, their caller gave "
                "up, planning failed, or they were refused when they came because too many waited "
                "or they would have been too late.",
                requests, with_reason);
  }
  out.Gauge("pompc_planner_queued_requests", "Requests waiting for a batch.", run.queued, labels);
  out.Counter("pompc_planner_run_queue_wait_seconds_total",
              "Time that the planned requests waited for their batch, together.",
              absl::ToDoubleSeconds(stats.waited), labels);
}

void AddParameters(const RunFigures& run, const MetricLabels& labels, MetricSamples& out) {
  out.Gauge("pompc_planner_parameters_incarnation", "Learner start of the newest parameters.",
            run.newest.incarnation, labels);
  out.Gauge("pompc_planner_parameters_number", "Number of the newest parameters; 0 without any.",
            run.newest.number, labels);
  out.Gauge("pompc_planner_kept_versions", "Parameter versions held for evaluations.", run.kept,
            labels);
  out.Counter("pompc_planner_received_versions_total", "Parameter versions received.",
              run.status.versions, labels);
  out.Counter("pompc_planner_received_bytes_total", "Bytes of parameters received.",
              run.status.bytes, labels);
  out.Counter("pompc_planner_learner_disconnects_total",
              "Parameter streams that ended or could not be opened.", run.status.disconnects,
              labels);
  out.Gauge("pompc_planner_learner_connected", "1 while the parameter stream is open, else 0.",
            run.connected ? 1 : 0, labels);
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
MetricSource PlannerMetrics::Watch(const Batcher& batcher, const RunTable& runs) {
  return registry_->AddSource([&batcher, &runs](MetricSamples& out) {
    AddThreads(batcher, out);
    for (const auto& [run_id, figures] : Figures(batcher, runs)) {
      const MetricLabels labels{{"run", run_id}};
      AddRequests(figures, labels, out);
      AddParameters(figures, labels, out);
    }
  });
}

}  // namespace pompc::planner
