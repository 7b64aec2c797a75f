#include "learner/metrics.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::learner {
namespace {

// Collects the functions of one registry.
class Adder {
 public:
  explicit Adder(MetricsRegistry& registry) : registry_(registry) {}

  void Counter(MetricName name, std::function<double()> value) {
    functions_.push_back(registry_.CounterFunction(std::move(name), std::move(value)));
  }
  void Gauge(MetricName name, std::function<double()> value) {
    functions_.push_back(registry_.GaugeFunction(std::move(name), std::move(value)));
  }
  template <typename Timer, size_t N>
  void States(const MetricName& name, const Timer& timer,
              const std::array<absl::string_view, N>& states) {
    for (MetricFunction& function : registry_.StateSeconds(name, timer, states)) {
      functions_.push_back(std::move(function));
    }
  }
  std::vector<MetricFunction> Take() { return std::move(functions_); }

 private:
  MetricsRegistry& registry_;
  std::vector<MetricFunction> functions_;
};

double Number(uint64_t value) { return static_cast<double>(value); }

void AddProgress(const run::RunControl* control, Adder& add) {
  add.Counter(
      {"pompc_learner_rows_total", "Rows that the run has accepted, including earlier starts.", {}},
      [control] { return Number(control->rows()); });
  add.Counter({"pompc_learner_updates_total", "Updates made, including earlier starts.", {}},
              [control] { return Number(control->updates()); });
  add.Counter({"pompc_learner_episodes_total",
               "Training episodes that ended, including earlier starts.",
               {}},
              [control] { return Number(control->Status().episodes); });
  add.Gauge({"pompc_learner_rows_per_second", "Rows accepted, over the last half minute.", {}},
            [control] { return control->Status().rows_per_second; });
  add.Gauge({"pompc_learner_updates_per_second", "Updates made, over the last half minute.", {}},
            [control] { return control->Status().updates_per_second; });
  add.Gauge({"pompc_learner_elapsed_seconds", "Age of the run, over all its starts.", {}},
            [control] { return control->Status().elapsed_seconds; });
  for (run::Phase phase :
       {run::Phase::kSeed, run::Phase::kTraining, run::Phase::kFinished, run::Phase::kStopping}) {
    add.Gauge({"pompc_learner_phase_active",
               "1 for the phase the run is in, 0 for the others.",
               {{"phase", run::PhaseName(phase)}}},
              [control, phase] { return control->phase() == phase ? 1.0 : 0.0; });
  }
}

void AddReturns(const run::RunControl* control, Adder& add) {
  add.Counter({"pompc_learner_evaluations_total", "Evaluations with a result.", {}},
              [control] { return Number(control->Status().evaluations.size()); });
  add.Gauge({"pompc_learner_evaluation_return_mean", "Mean return of the newest evaluation.", {}},
            [control] {
              const run::RunStatus status = control->Status();
              return status.evaluations.empty() ? std::numeric_limits<double>::quiet_NaN()
                                                : status.evaluations.back().return_mean;
            });
  add.Gauge({"pompc_learner_evaluation_best_return_mean", "Best mean return of an evaluation.", {}},
            [control] {
              const run::RunStatus status = control->Status();
              return status.best_evaluation.has_value()
                         ? status.evaluations[*status.best_evaluation].return_mean
                         : std::numeric_limits<double>::quiet_NaN();
            });
  add.Gauge(
      {"pompc_learner_training_return_mean", "Mean return of the newest training episodes.", {}},
      [control] {
        return control->Status().training_return_mean.value_or(
            std::numeric_limits<double>::quiet_NaN());
      });
}

void AddPeers(const run::RunControl* control, size_t shards, Adder& add) {
  for (run::Role role : {run::Role::kActor, run::Role::kEvaluator}) {
    add.Gauge({"pompc_learner_leases",
               "Actors and evaluators that take part.",
               {{"role", run::RoleName(role)}}},
              [control, role] {
                const run::RunStatus status = control->Status();
                return Number(
                    std::count_if(status.peers.begin(), status.peers.end(),
                                  [role](const run::PeerView& peer) { return peer.role == role; }));
              });
  }
  for (run::Role role : {run::Role::kActor, run::Role::kEvaluator}) {
    add.Gauge({"pompc_learner_waiting_leases",
               "Actors and evaluators that take part and report that they wait for something.",
               {{"role", run::RoleName(role)}}},
              [control, role] {
                const run::RunStatus status = control->Status();
                return Number(std::count_if(status.peers.begin(), status.peers.end(),
                                            [role](const run::PeerView& peer) {
                                              return peer.role == role && !peer.waiting.empty();
                                            }));
              });
  }
  for (run::LeaseEnd end : {run::LeaseEnd::kLeft, run::LeaseEnd::kFailed, run::LeaseEnd::kSilent}) {
    add.Counter(
        {"pompc_learner_ended_leases_total",
         "Leases of actors and evaluators that ended while the run was not over.",
         {{"how", run::LeaseEndName(end)}}},
        [control, end] { return Number(control->Status().lease_ends[static_cast<size_t>(end)]); });
  }
  for (size_t i = 0; i < shards; ++i) {
    const MetricLabels label = {{"shard", absl::StrCat(i)}};
    add.Gauge({"pompc_learner_shard_reachable", "1 while the shard answers, else 0.", label},
              [control, i] { return control->Status().shards[i].reachable ? 1.0 : 0.0; });
    add.Gauge({"pompc_learner_shard_windows", "Windows that the shard can deliver.", label},
              [control, i] { return Number(control->Windows()[i]); });
  }
}

void AddPrefetcher(const Prefetcher* prefetcher, Adder& add) {
  add.States({"pompc_learner_prefetch_state_seconds_total",
              "Time that the thread which draws batches has spent in each state; fetching includes "
              "waiting for "
              "batches in flight.",
              {}},
             prefetcher->timer(), Prefetcher::StateNames());
  add.Gauge({"pompc_learner_prefetched_batches", "Batches ready for the next updates.", {}},
            [prefetcher] { return Number(prefetcher->ready()); });
  add.Gauge({"pompc_learner_prefetch_in_flight_batches",
             "Batches requested from the shards and not complete.",
             {}},
            [prefetcher] { return Number(prefetcher->in_flight()); });
}

template <typename Source>
void AddBarredWindows(const Source* source, Adder& add) {
  add.Counter({"pompc_learner_barred_windows_total",
               "Windows barred from replay because no update could be made with them.",
               {}},
              [source] { return Number(source->barred_windows()); });
}

void AddTraining(const LearnerMetricSources& sources, Adder& add) {
  const Trainer* trainer = sources.trainer;
  add.States({"pompc_learner_state_seconds_total",
              "Time that the training thread has spent in each state.",
              {}},
             trainer->timer(), Trainer::StateNames());
  AddPrefetcher(sources.prefetcher, add);
  AddBarredWindows(trainer, add);
  const RankGroup* ranks = sources.ranks;
  add.Gauge({"pompc_learner_ranks", "Learner processes that are present, including this one.", {}},
            [ranks] { return Number(static_cast<uint64_t>(ranks->present())); });
  for (const std::string& loss : sources.losses) {
    add.Counter({"pompc_learner_restorations_total",
                 "Returns to the last good state because this loss was not finite.",
                 {{"loss", loss}}},
                [trainer, loss] { return Number(trainer->restorations(loss)); });
  }
  for (size_t i = 0; i < sources.values.size(); ++i) {
    add.Gauge({"pompc_learner_update_value",
               "What the newest logged update reported: losses, norms, KL, scales.",
               {{"name", sources.values[i]}}},
              [trainer, i] {
                const NamedValues values = trainer->values();
                return i < values.size() ? values[i].second
                                         : std::numeric_limits<double>::quiet_NaN();
              });
  }
}

void AddPlanWriter(const PlanWriter* plans, Adder& add) {
  const auto counter = [&](const char* result, uint64_t PlanWriter::Stats::*field) {
    add.Counter({"pompc_learner_replanned_rows_total",
                 "Re-planned rows, by what became of the plans.",
                 {{"result", result}}},
                [plans, field] { return Number(plans->stats().*field); });
  };
  counter("written", &PlanWriter::Stats::written);
  counter("evicted", &PlanWriter::Stats::evicted);
  counter("lost", &PlanWriter::Stats::lost);
}

void AddOutputs(const LearnerMetricSources& sources, Adder& add) {
  const CheckpointWriter* checkpoints = sources.checkpoints;
  add.Counter({"pompc_learner_checkpoints_total",
               "Attempts to write a checkpoint, by their result.",
               {{"result", "written"}}},
              [checkpoints] { return Number(checkpoints->stats().written); });
  add.Counter({"pompc_learner_checkpoints_total",
               "Attempts to write a checkpoint, by their result.",
               {{"result", "failed"}}},
              [checkpoints] { return Number(checkpoints->stats().failed); });
  add.Gauge({"pompc_learner_checkpoints_waiting",
             "Checkpoints that could not be written and will be retried.",
             {}},
            [checkpoints] { return Number(checkpoints->stats().waiting); });
  add.Counter({"pompc_learner_checkpoint_seconds_total", "Time spent writing checkpoints.", {}},
              [checkpoints] { return absl::ToDoubleSeconds(checkpoints->stats().time); });
  const run::RunControl* control = sources.control;
  add.Gauge({"pompc_learner_checkpoint_failing_seconds",
             "How long no checkpoint could be written, or how long the present one has taken once "
             "that is more than 30 s; 0 otherwise.",
             {}},
            [control] { return control->Status().checkpoints.failing_seconds; });
  add.Gauge({"pompc_learner_parameters_incarnation", "Learner start of the newest parameters.", {}},
            [control] { return Number(control->version().incarnation); });
  add.Gauge(
      {"pompc_learner_parameters_number", "Number of the newest parameters; 0 without any.", {}},
      [control] { return Number(control->version().number); });
  const parameters::ParameterService* parameters = sources.parameters;
  add.Gauge({"pompc_learner_subscribers", "Planners that follow the parameters.", {}},
            [parameters] { return Number(parameters->stats().subscribers.size()); });
  add.Gauge({"pompc_learner_subscriber_behind_seconds",
             "Age of the oldest version that the connected planner furthest behind lacks.",
             {}},
            [parameters] {
              absl::Duration behind;
              for (const auto& planner : parameters->stats().subscribers) {
                behind = std::max(behind, planner.behind);
              }
              return absl::ToDoubleSeconds(behind);
            });
  add.Counter(
      {"pompc_learner_sent_versions_total", "Parameter versions sent, over all planners.", {}},
      [parameters] { return Number(parameters->stats().versions_sent); });
  add.Counter(
      {"pompc_learner_sent_bytes_total", "Bytes of parameters sent, over all planners.", {}},
      [parameters] { return Number(parameters->stats().bytes_sent); });
}

}  // namespace

std::vector<MetricFunction> AddLearnerMetrics(MetricsRegistry& registry,
                                              const LearnerMetricSources& sources) {
  Adder add(registry);
  AddProgress(sources.control, add);
  AddReturns(sources.control, add);
  AddPeers(sources.control, sources.shards, add);
  AddTraining(sources, add);
  AddPlanWriter(sources.plans, add);
  AddOutputs(sources, add);
  return add.Take();
}

std::vector<MetricFunction> AddFollowerMetrics(MetricsRegistry& registry,
                                               const FollowerMetricSources& sources) {
  Adder add(registry);
  add.States({"pompc_learner_follower_state_seconds_total",
              "Time that the updating thread of a rank above 0 has spent in each state.",
              {}},
             *sources.timer, Follower::StateNames());
  const std::atomic<uint64_t>* updates = sources.updates;
  add.Counter({"pompc_learner_follower_updates_total",
               "Updates that a rank above 0 has taken part in, including those before it started.",
               {}},
              [updates] { return Number(*updates); });
  AddPrefetcher(sources.prefetcher, add);
  AddPlanWriter(sources.plans, add);
  AddBarredWindows(sources.history, add);
  return add.Take();
}

}  // namespace pompc::learner
