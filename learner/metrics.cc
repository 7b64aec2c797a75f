#include "learner/metrics.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/io/disk_space.h"
#include "common/values/utf8.h"
#include "run/control/limits.h"
#include "run/control/names.h"

namespace pompc::learner {
namespace {

// A gauge without a value yet. It is there all the same, so that charts and alerts find its name.
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

void AddRun(const LearnerMetricSources& sources, MetricSamples& out) {
  out.Gauge("pompc_learner_run_info", "Always 1; the labels name the run's folder and task.", 1,
            {{"directory", ToUtf8(sources.run_dir)}, {"task", sources.task}});
  const DiskSpace disk = DiskSpaceOf(sources.run_dir);
  out.Gauge("pompc_learner_disk_free_bytes", "Room on the disk of the run directory.",
            disk.free_bytes);
  out.Gauge("pompc_learner_disk_bytes", "Size of the disk of the run directory.", disk.total_bytes);
}

void AddProgress(const proto::RunStatus& status, MetricSamples& out) {
  out.Counter("pompc_learner_rows_total",
              "Rows that the run has accepted, including earlier starts.", status.rows());
  out.Counter("pompc_learner_updates_total", "Updates made, including earlier starts.",
              status.updates());
  out.Counter("pompc_learner_episodes_total",
              "Training episodes that ended, including earlier starts.", status.episodes());
  out.Gauge("pompc_learner_rows_per_second", "Rows accepted, over the last half minute.",
            status.rows_per_second());
  out.Gauge("pompc_learner_updates_per_second", "Updates made, over the last half minute.",
            status.updates_per_second());
  out.Gauge("pompc_learner_elapsed_seconds", "Age of the run, over all its starts.",
            status.elapsed_seconds());
  for (const proto::Phase phase :
       {proto::SEED, proto::TRAINING, proto::FINISHED, proto::STOPPING}) {
    out.Gauge("pompc_learner_phase_active", "1 for the phase the run is in, 0 for the others.",
              status.phase() == phase ? 1 : 0, {{"phase", proto::Phase_Name(phase)}});
  }
}

// One counter of seconds for each reason for which somebody can wait. The reasons that can hold the
// learner back are not those that can hold writers back, so each caller lists its own.
void AddWaits(const char* name, const char* help, const run::RunControl::WaitTimer& timer,
              std::initializer_list<run::RunControl::Reason> reasons, MetricSamples& out) {
  const auto seconds = timer.Seconds();
  for (const run::RunControl::Reason reason : reasons) {
    out.Counter(name, help, seconds[reason], {{"reason", run::Name(reason)}});
  }
}

void AddLimiter(const run::RunControl& control, const proto::RunStatus& status,
                MetricSamples& out) {
  const proto::LimiterStatus& limiter = status.limiter();
  using Limiter = proto::LimiterStatus;
  AddWaits("pompc_learner_waiting_seconds_total",
           "Time for which the learner has waited before its next update, by the reason.",
           control.learner_waits(),
           {Limiter::SEED_ROWS, Limiter::RATIO, Limiter::MIN_ROWS, Limiter::NO_WINDOW,
            Limiter::EVALUATION, Limiter::SHARDS},
           out);
  AddWaits("pompc_learner_writers_blocked_seconds_total",
           "Time for which shards have held writers back, by the reason.", control.writers_wait(),
           {Limiter::PRETRAINING, Limiter::RATIO, Limiter::MIN_ROWS, Limiter::NO_WINDOW,
            Limiter::SHARDS, Limiter::ALL_ROWS, Limiter::RUN_OVER},
           out);
  out.Gauge("pompc_learner_blocked_writers", "Streams of writers that shards hold back.",
            limiter.blocked_streams());
  out.Gauge("pompc_learner_environments", "Environments of the actors that take part.",
            static_cast<double>(status.environments()));
  out.Gauge("pompc_learner_wanted_environments",
            "Environments that would just keep the learner busy, as far as recent waits say.",
            status.wanted_environments() > 0 ? status.wanted_environments() : kNone);
  out.Gauge("pompc_learner_rows_bound", "Rows of the run at which shards hold writers back.",
            limiter.rows_bound());
  out.Gauge("pompc_learner_updates_bound", "Updates that the rows of the run allow.",
            limiter.updates_bound());
  out.Gauge("pompc_learner_needed_rows", "Rows that replay must hold before updates are made.",
            limiter.min_rows());
  out.Gauge("pompc_learner_stored_rows", "Rows that the shards hold which answer.",
            limiter.stored_rows());
  // All fields are present, so that nothing is left of the limits that they replace.
  for (const auto& [setting, value] :
       run::Named(run::WithChanges(run::RunLimits(), limiter.limits()))) {
    out.Gauge("pompc_learner_limit", "Limit in force, by the setting that it replaces.", value,
              {{"setting", setting}});
  }
}

void AddReturns(const proto::RunStatus& status, uint64_t dropped, MetricSamples& out) {
  const auto& evaluations = status.evaluations();
  out.Counter("pompc_learner_dropped_evaluations_total",
              "Evaluations that were given up without a result.", dropped);
  out.Counter("pompc_learner_evaluations_total", "Evaluations with a result.", evaluations.size());
  out.Gauge("pompc_learner_evaluation_return_mean", "Mean return of the newest evaluation.",
            evaluations.empty() ? kNone : evaluations.rbegin()->return_mean());
  out.Gauge("pompc_learner_evaluation_best_return_mean", "Best mean return of an evaluation.",
            status.has_best_evaluation()
                ? evaluations[static_cast<int>(status.best_evaluation())].return_mean()
                : kNone);
  out.Gauge("pompc_learner_training_return_mean", "Mean return of the newest training episodes.",
            status.has_training_return_mean() ? status.training_return_mean() : kNone);
}

void AddPeers(const proto::RunStatus& status, uint32_t expected_actors, MetricSamples& out) {
  out.Gauge("pompc_learner_expected_actors", "Actors that should take part.", expected_actors);
  const auto count = [&status](auto which) {
    return std::count_if(status.peers().begin(), status.peers().end(), which);
  };
  // Both roles have samples, be they 0: an alert on a role that nobody has needs one to compare.
  for (const proto::Role role : {proto::ACTOR, proto::EVALUATOR}) {
    const auto has_role = [role](const proto::PeerStatus& peer) { return peer.role() == role; };
    const auto waits = [&](const auto& peer) { return has_role(peer) && !peer.waiting().empty(); };
    out.Gauge("pompc_learner_leases", "Actors and evaluators that take part.", count(has_role),
              {{"role", run::Name(role)}});
    out.Gauge("pompc_learner_waiting_leases",
              "Actors and evaluators that take part and report that they wait for something.",
              count(waits), {{"role", run::Name(role)}});
  }
  for (const proto::EndedLeases& ended : status.ended_leases()) {
    out.Counter("pompc_learner_ended_leases_total",
                "Leases of actors and evaluators that ended while the run was not over.",
                ended.leases(), {{"how", run::Name(ended.end())}});
  }
  for (const proto::ShardStatus& shard : status.shards()) {
    const MetricLabels label = {{"shard", absl::StrCat(shard.index())}};
    out.Gauge("pompc_learner_shard_reachable", "1 while the shard answers, else 0.",
              shard.reachable() ? 1 : 0, label);
    // What an unreachable shard held last cannot be drawn from.
    out.Gauge("pompc_learner_shard_windows", "Windows that the shard can deliver.",
              shard.reachable() ? shard.windows() : 0, label);
  }
}

void AddPrefetcher(const Prefetcher& prefetcher, MetricSamples& out) {
  out.StateSeconds("pompc_learner_prefetch_state_seconds_total",
                   "Time that the thread which draws batches has spent in each state; fetching "
                   "includes waiting for batches in flight.",
                   prefetcher.timer(), Prefetcher::StateNames());
  out.Gauge("pompc_learner_prefetched_batches", "Batches ready for the next updates.",
            prefetcher.ready());
  out.Gauge("pompc_learner_prefetch_in_flight_batches",
            "Batches requested from the shards and not complete.", prefetcher.in_flight());
}

void AddBarredWindows(uint64_t windows, MetricSamples& out) {
  out.Counter("pompc_learner_barred_windows_total",
              "Windows barred from replay because no update could be made with them.", windows);
}

void AddTraining(const LearnerMetricSources& sources, MetricSamples& out) {
  const Trainer& trainer = *sources.trainer;
  out.StateSeconds("pompc_learner_state_seconds_total",
                   "Time that the training thread has spent in each state.", trainer.timer(),
                   Trainer::StateNames());
  AddPrefetcher(*sources.prefetcher, out);
  AddBarredWindows(trainer.barred_windows(), out);
  out.Gauge("pompc_learner_ranks", "Learner processes that are present, including this one.",
            sources.ranks->present());
  for (const std::string& loss : sources.losses) {
    out.Counter("pompc_learner_restorations_total",
                "Returns to the last good state because this loss was not finite.",
                trainer.restorations(loss), {{"loss", loss}});
  }
  // Before the first logged update there are names and no values.
  const NamedValues values = trainer.values();
  for (size_t i = 0; i < sources.values.size(); ++i) {
    out.Gauge("pompc_learner_update_value",
              "What the newest logged update reported: losses, norms, KL, scales.",
              i < values.size() ? values[i].second : kNone, {{"name", sources.values[i]}});
  }
}

void AddPlanWriter(const PlanWriter::Stats& stats, MetricSamples& out) {
  const std::pair<const char*, uint64_t> results[] = {
      {"written", stats.written}, {"evicted", stats.evicted}, {"lost", stats.lost}};
  for (const auto& [result, rows] : results) {
    out.Counter("pompc_learner_replanned_rows_total",
                "Re-planned rows, by what became of the plans.", rows, {{"result", result}});
  }
}

void AddPriorityWriter(const PriorityWriter::Stats& stats, MetricSamples& out) {
  const std::pair<const char*, uint64_t> results[] = {
      {"written", stats.written}, {"gone", stats.gone}, {"lost", stats.lost}};
  for (const auto& [result, windows] : results) {
    out.Counter("pompc_learner_priorities_total",
                "Priorities of windows that updates found, by what became of them.", windows,
                {{"result", result}});
  }
}

void AddCheckpoints(const proto::RunStatus& status, const CheckpointWriter::Stats& stats,
                    MetricSamples& out) {
  const std::pair<const char*, uint64_t> results[] = {{"written", stats.written},
                                                      {"failed", stats.failed}};
  for (const auto& [result, tries] : results) {
    out.Counter("pompc_learner_checkpoints_total",
                "Attempts to write a checkpoint, by their result.", tries, {{"result", result}});
  }
  out.Gauge("pompc_learner_checkpoints_waiting",
            "Checkpoints that could not be written and will be retried.", stats.waiting);
  out.Gauge("pompc_learner_checkpoint_age_seconds",
            "Time since the newest checkpoint was written or, if that is later, since the learner "
            "started.",
            absl::ToDoubleSeconds(stats.age));
  out.Counter("pompc_learner_checkpoint_seconds_total", "Time spent writing checkpoints.",
              absl::ToDoubleSeconds(stats.time));
  out.Gauge("pompc_learner_checkpoint_failing_seconds",
            "How long no checkpoint could be written, or how long the present one has taken once "
            "that is more than 30 s; 0 otherwise.",
            status.checkpoint_failing_seconds());
}

void AddParameters(const proto::RunStatus& status, const parameters::ParameterService::Stats& stats,
                   MetricSamples& out) {
  out.Gauge("pompc_learner_parameters_incarnation", "Learner start of the newest parameters.",
            status.version().incarnation());
  out.Gauge("pompc_learner_parameters_number", "Number of the newest parameters; 0 without any.",
            status.version().number());
  out.Gauge("pompc_learner_subscribers", "Planners that follow the parameters.",
            stats.subscribers.size());
  double behind = 0;
  for (const proto::PlannerStatus& planner : stats.subscribers) {
    behind = std::max(behind, planner.behind_seconds());
  }
  out.Gauge("pompc_learner_subscriber_behind_seconds",
            "Age of the oldest version that the connected planner furthest behind lacks.", behind);
  out.Counter("pompc_learner_sent_versions_total", "Parameter versions sent, over all planners.",
              stats.versions_sent);
  out.Counter("pompc_learner_sent_bytes_total", "Bytes of parameters sent, over all planners.",
              stats.bytes_sent);
}

}  // namespace

MetricSource AddLearnerMetrics(MetricsRegistry& registry, const LearnerMetricSources& sources) {
  return registry.AddSource([sources](MetricSamples& out) {
    out.SetRun(sources.run_id);
    const proto::RunStatus status = sources.control->Status();
    AddRun(sources, out);
    AddProgress(status, out);
    AddLimiter(*sources.control, status, out);
    AddReturns(status, sources.control->given_up_evaluations(), out);
    AddPeers(status, sources.expected_actors, out);
    AddTraining(sources, out);
    AddPlanWriter(sources.plans->stats(), out);
    AddPriorityWriter(sources.priorities->stats(), out);
    AddCheckpoints(status, sources.checkpoints->stats(), out);
    AddParameters(status, sources.parameters->stats(), out);
  });
}

MetricSource AddFollowerMetrics(MetricsRegistry& registry, const FollowerMetricSources& sources) {
  return registry.AddSource([sources](MetricSamples& out) {
    out.SetRun(sources.run_id);
    out.StateSeconds("pompc_learner_follower_state_seconds_total",
                     "Time that the updating thread of a rank above 0 has spent in each state.",
                     *sources.timer, Follower::StateNames());
    out.Counter("pompc_learner_follower_updates_total",
                "Updates that a rank above 0 has taken part in, including those before it started.",
                sources.updates->load());
    AddPrefetcher(*sources.prefetcher, out);
    AddPlanWriter(sources.plans->stats(), out);
    AddPriorityWriter(sources.priorities->stats(), out);
    AddBarredWindows(sources.history->barred_windows(), out);
  });
}

}  // namespace pompc::learner
