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

void WatchBatcher(MetricsRegistry& registry, const Batcher& batcher,
                  std::vector<MetricFunction>& functions) {
  for (int i = 0; i < batcher.threads(); ++i) {
    auto seconds = registry.StateSeconds({"pompc_planner_state_seconds_total",
                                          "Time that each planning thread has spent in each state; "
                                          "a worker's states sum to its wall time.",
                                          {{"worker", absl::StrCat(i)}}},
                                         batcher.timer(i), {"idle", "computing", "replying"});
    for (MetricFunction& function : seconds) functions.push_back(std::move(function));
  }
  functions.push_back(
      registry.CounterFunction({"pompc_planner_plans_total", "Plans made.", {}},
                               [&batcher] { return static_cast<double>(batcher.stats().plans); }));
  // One metric with a label for each reason: a dashboard then shows their sum without knowing them.
  const std::pair<const char*, uint64_t Batcher::Stats::*> kUnplanned[] = {
      {"expired", &Batcher::Stats::expired},
      {"cancelled", &Batcher::Stats::cancelled},
      {"failed", &Batcher::Stats::failed}};
  for (const auto& [reason, counter] : kUnplanned) {
    functions.push_back(registry.CounterFunction(
        {"pompc_planner_unplanned_requests_total",
         "Accepted requests that got no plan: their deadline passed in the queue, their caller "
         "gave up, or planning failed.",
         {{"reason", reason}}},
        [&batcher, counter = counter] { return static_cast<double>(batcher.stats().*counter); }));
  }
  functions.push_back(
      registry.GaugeFunction({"pompc_planner_queued_requests", "Requests waiting for a batch.", {}},
                             [&batcher] { return static_cast<double>(batcher.stats().queued); }));
}

void WatchStore(MetricsRegistry& registry, const ParameterStore& store,
                std::vector<MetricFunction>& functions) {
  const auto newest = [&store] {
    const std::shared_ptr<const PlannerModel> model = store.Newest();
    return model == nullptr ? ParameterVersion() : model->version();
  };
  functions.push_back(registry.GaugeFunction(
      {"pompc_planner_parameters_incarnation", "Learner start of the newest parameters.", {}},
      [newest] { return static_cast<double>(newest().incarnation); }));
  functions.push_back(registry.GaugeFunction(
      {"pompc_planner_parameters_number", "Number of the newest parameters; 0 without any.", {}},
      [newest] { return static_cast<double>(newest().number); }));
  functions.push_back(registry.GaugeFunction(
      {"pompc_planner_kept_versions", "Parameter versions held for evaluations.", {}},
      [&store] { return static_cast<double>(store.KeptVersions().size()); }));
}

void WatchSubscriber(MetricsRegistry& registry, const parameters::ParameterSubscriber& subscriber,
                     std::vector<MetricFunction>& functions) {
  functions.push_back(registry.CounterFunction(
      {"pompc_planner_received_versions_total", "Parameter versions received.", {}},
      [&subscriber] { return static_cast<double>(subscriber.status().versions); }));
  functions.push_back(registry.CounterFunction(
      {"pompc_planner_received_bytes_total", "Bytes of parameters received.", {}},
      [&subscriber] { return static_cast<double>(subscriber.status().bytes); }));
  functions.push_back(registry.CounterFunction(
      {"pompc_planner_learner_disconnects_total",
       "Parameter streams that ended or could not be opened.",
       {}},
      [&subscriber] { return static_cast<double>(subscriber.status().disconnects); }));
  functions.push_back(registry.GaugeFunction(
      {"pompc_planner_learner_connected", "1 while the parameter stream is open, else 0.", {}},
      [&subscriber] { return subscriber.status().connected ? 1.0 : 0.0; }));
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

// Gauges and counters are functions that a scrape calls: the objects count anyway, and a copy that
// is kept up to date would be one more thing to keep right.
std::vector<MetricFunction> PlannerMetrics::Watch(
    const Batcher& batcher, const ParameterStore& store,
    const parameters::ParameterSubscriber& subscriber) {
  std::vector<MetricFunction> functions;
  WatchBatcher(*registry_, batcher, functions);
  WatchStore(*registry_, store, functions);
  WatchSubscriber(*registry_, subscriber, functions);
  return functions;
}

}  // namespace pompc::planner
