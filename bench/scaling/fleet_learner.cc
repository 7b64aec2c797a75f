// This part of the simulation has the learner, and what is measured of the fleet.
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/scaling/fleet.h"
#include "common/base/check.h"

namespace pompc::bench {
namespace {

// Intervals of the learner (learner/options.h, learner/monitor.h).
constexpr absl::Duration kGrantInterval = absl::Milliseconds(50);
constexpr absl::Duration kTickInterval = absl::Milliseconds(200);
// The trainer looks so often whether there is something to do, where the real one is woken.
constexpr absl::Duration kTrainerLook = absl::Milliseconds(1);

absl::Duration Quantile(std::vector<absl::Duration>* values, double share) {
  if (values->empty()) return absl::ZeroDuration();
  const auto at = values->begin() + static_cast<int64_t>(share * (values->size() - 1));
  std::nth_element(values->begin(), at, values->end());
  return *at;
}

}  // namespace

// ---------------------------------------------------------------------------- The learner.

// One of the grants that a shard gets all the time: made, sent, obeyed, and its answer read.
void Fleet::Grant(int shard) {
  calls_.Do(options_.times.grant, [this, shard] {
    if (control_.rows() == 0 && shards_[shard]->granted == 0) {
      control_.ShardAnswered(shard, Info(shard), false);  // it was configured
    }
    const run::ShardGrant grant = grant_([&] { return control_.NextGrant(shard); });
    loop_.After(options_.times.message, [this, shard, grant] {
      ShardSim& sim = *shards_[shard];
      sim.granted = grant.max_accepted_rows;
      WakeWriters(sim);
      loop_.After(options_.times.message,
                  [this, shard, info = Info(shard), over = grant.seed_phase_over] {
                    control_.ShardAnswered(shard, info, over);
                  });
    });
    loop_.After(kGrantInterval, [this, shard] { Grant(shard); });
  });
}

void Fleet::Heartbeat(int actor) {
  calls_.Do(options_.times.heartbeat, [this, actor] {
    const auto reply = heartbeat_(
        [&] { return control_.Heartbeat(actors_[actor]->lease, {.rows = actors_[actor]->rows}); });
    POMPC_CHECK_OK(reply.status());
    loop_.After(run::LeaseOptions().heartbeat, [this, actor] { Heartbeat(actor); });
  });
}

void Fleet::Tick() {
  control_.Tick();
  loop_.After(kTickInterval, [this] { Tick(); });
}

void Fleet::Train() {
  loop_.After(kTrainerLook, [this] { Train(); });
  Prefetch();
  if (updating_) return;
  if (closing_) return CloseSeed();
  switch (control_.AwaitStep(absl::ZeroDuration())) {
    case run::TrainerStep::kUpdate:
      return Update();
    case run::TrainerStep::kCloseSeed:
      control_.BeginSeedClosing();
      closing_ = true;
      return;
    default:
      return;
  }
}

// Updates follow each other without a pause while there are batches.
void Fleet::Update() {
  if (ready_batches_ == 0) return;
  --ready_batches_;
  updating_ = true;
  trainer_.Do(Spread(options_.times.update), [this] {
    updating_ = false;
    control_.UpdateDone();
    if (versions_ > 0 && control_.updates() % options_.publish_every_updates == 0) Publish();
    Prefetch();
    if (!closing_ && control_.AwaitStep(absl::ZeroDuration()) == run::TrainerStep::kUpdate)
      Update();
  });
}

void Fleet::CloseSeed() {
  if (!control_.AwaitSeedClosed(absl::ZeroDuration())) return;
  closing_ = false;
  Publish();
  control_.StartTraining();
}

// A version is sent when the one before it has arrived, as the broadcast does it: what was
// published meanwhile is left out.
void Fleet::Publish() {
  control_.Published({1, ++versions_});
  if (link_.waiting() > 0) return;
  link_.Do(absl::Seconds(options_.parameter_bytes * options_.planners / options_.bytes_per_second),
           [] {});
}

void Fleet::Prefetch() {
  while (ready_batches_ + drawn_batches_ < options_.prefetch_batches &&
         control_.AwaitSampling(absl::ZeroDuration())) {
    ++drawn_batches_;
    Draw();
  }
}

// A batch is there when each shard has answered with its part.
void Fleet::Draw() {
  auto missing = std::make_shared<int>(options_.shards);
  const absl::Duration time = options_.times.window * options_.batch_size / options_.shards;
  for (const auto& shard : shards_) {
    loop_.After(options_.times.message, [this, missing, time, shard = shard.get()] {
      shard->server.Do(Spread(options_.times.chunk + time), [this, missing] {
        loop_.After(options_.times.message, [this, missing] {
          if (--*missing > 0) return;
          --drawn_batches_;
          ++ready_batches_;
        });
      });
    });
  }
}

// ---------------------------------------------------------------------------- What was measured.

Fleet::Mark Fleet::Now() const {
  Mark mark;
  mark.at = loop_.Now();
  for (const auto& actor : actors_) mark.rows += actor->rows;
  mark.updates = control_.updates();
  for (const auto& planner : planners_) mark.planners.push_back(planner->worked);
  for (const auto& shard : shards_) mark.shards.push_back(shard->server.worked());
  for (const auto& actor : actors_) mark.actors.push_back(actor->worker.worked());
  mark.trainer = trainer_.worked();
  mark.control = calls_.worked();
  mark.network = link_.worked();
  mark.held = held_;
  for (const auto& env : environments_) {
    if (env->held_back) mark.held += loop_.Now() - env->held_since;
  }
  return mark;
}

void Fleet::ReportRates(const Mark& from, const Mark& to, FleetReport* report) const {
  const double seconds = absl::ToDoubleSeconds(to.at - from.at);
  report->rows_per_second = static_cast<double>(to.rows - from.rows) / seconds;
  report->updates_per_second = static_cast<double>(to.updates - from.updates) / seconds;
  uint64_t least = std::numeric_limits<uint64_t>::max(), all = 0;
  for (const auto& actor : actors_) {
    least = std::min(least, actor->rows - actor->rows_at_start);
    all += actor->rows - actor->rows_at_start;
  }
  if (all > 0) report->least_rows = static_cast<double>(least) * options_.actors / all;
  report->held_back =
      absl::FDivDuration(to.held - from.held, (to.at - from.at) * environments_.size());
}

void Fleet::ReportLoads(const Mark& from, const Mark& to, FleetReport* report) const {
  const absl::Duration time = to.at - from.at;
  const auto busiest = [&](const std::vector<absl::Duration>& before,
                           const std::vector<absl::Duration>& after, int threads) {
    double most = 0;
    for (size_t i = 0; i < after.size(); ++i) {
      most = std::max(most, absl::FDivDuration(after[i] - before[i], time * threads));
    }
    return most;
  };
  report->loads = {{"planners", busiest(from.planners, to.planners, options_.planner_threads)},
                   {"shards", busiest(from.shards, to.shards, 1)},
                   {"updates", absl::FDivDuration(to.trainer - from.trainer, time)},
                   {"learner's calls", absl::FDivDuration(to.control - from.control, time)},
                   {"parameters", absl::FDivDuration(to.network - from.network, time)},
                   {"actors", busiest(from.actors, to.actors, 1)}};
  const auto most =
      std::max_element(report->loads.begin(), report->loads.end(),
                       [](const FleetLoad& a, const FleetLoad& b) { return a.share < b.share; });
  if (most->share > 0.9) {
    report->bottleneck = most->part;
  } else if (report->held_back > 0.1) {
    // Rows are granted in steps of the slack, and the learner hears of them with the next grant.
    report->bottleneck = "replay.slack_rows";
  } else {
    report->bottleneck = "the environments: more of them would be served";
  }
}

FleetReport Fleet::Report(const Mark& from) {
  FleetReport report;
  const Mark to = Now();
  ReportRates(from, to, &report);
  ReportLoads(from, to, &report);
  const size_t plans = std::max<size_t>(plan_times_.size(), 1);
  report.refusals = static_cast<double>(refusals_) / static_cast<double>(plans);
  report.plan_p50 = Quantile(&plan_times_, 0.5);
  report.plan_p99 = Quantile(&plan_times_, 0.99);
  report.queue_p50 = Quantile(&queue_times_, 0.5);
  report.queue_p99 = Quantile(&queue_times_, 0.99);
  report.push = push_.mean();
  report.poll = poll_.mean();
  report.pick = pick_.mean();
  report.heartbeat = heartbeat_.mean();
  report.grant = grant_.mean();
  report.events = loop_.happened();
  return report;
}

}  // namespace pompc::bench
