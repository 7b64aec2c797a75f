#ifndef POMPC_RUN_CONTROL_RUN_CONTROL_H_
#define POMPC_RUN_CONTROL_RUN_CONTROL_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/state_timer.h"
#include "common/base/threads.h"
#include "proto/parameter_version.h"
#include "proto/replay.pb.h"
#include "proto/run.pb.h"
#include "run/control/evaluation_schedule.h"
#include "run/control/leases.h"
#include "run/control/limits.h"
#include "run/control/names.h"
#include "run/control/phase_machine.h"
#include "run/control/run_news.h"
#include "run/control/sampling_control.h"
#include "run/control/waiting.h"
#include "run/rows/environment_demand.h"
#include "run/rows/rates.h"
#include "run/rows/ratio.h"
#include "run/rows/row_counter.h"
#include "run/rows/row_grants.h"
#include "run/rows/window_watch.h"

namespace pompc::run {

// The table of replay from which batches are drawn.
struct DrawOptions {
  // Its name; "" is the first one.
  std::string table;
  // Windows of a batch.
  uint64_t batch_size = 0;
  // The number of times that a window may be drawn; 0: any.
  uint64_t max_times_sampled = 0;

  // The number of draws that replay should have left where they are limited. It is more than a
  // batch, because the draws are split over the shards at random, and none may be asked for more
  // than it has.
  uint64_t MinDraws() const { return max_times_sampled == 0 ? 0 : 4 * batch_size; }
};

struct RunControlOptions {
  // Counts the starts of the learner of this run.
  uint64_t learner_incarnation = 1;
  // Addresses of the run's shards, in their order.
  std::vector<std::string> shards;
  RatioOptions ratio;
  EvaluationOptions evaluation;
  StopOptions stop;
  LeaseOptions lease;
  WindowWatch::Options windows;
  DrawOptions draws;
  // A learner that starts again grants no rows until all shards have told what they hold, but waits
  // for them no longer than this.
  absl::Duration hear_from_shards = absl::Seconds(10);
  // For how long the grant of a shard that does not answer is reserved for it, because actors may
  // still reach it. After that the other shards are granted these rows.
  absl::Duration keep_grants = absl::Seconds(60);
  // Shards get the rows of data sets (replay.import), and no update is made before each has told
  // that it has its part (ShardImported).
  bool imports = false;
  // Rows come in turns that the trainer hands out (TrainerStep::kAct), neither rows nor updates are
  // made while a policy is evaluated, and results do not contain times.
  bool lockstep = false;
  // Environments that the run has use for while none acts: those of one actor.
  uint32_t first_environments = 1;
  // The newest changes of limits in earlier starts, oldest first; for the status.
  std::vector<proto::LimitChange> limit_changes;
};

// The part of a run's control state that checkpoints store.
struct RunProgressState {
  // The line of updates over rows (Ratio) once the seed phase is over: a point, and its utd.
  struct Line {
    Ratio::Point since;
    double utd = 1;
  };
  uint64_t updates = 0;
  uint64_t episodes = 0;
  // True if every shard has agreed that the seed phase is over.
  bool seed_closed = false;
  // Over all starts so far.
  double elapsed_seconds = 0;
  RowCounter::State rows;
  // Absent in the seed phase and in checkpoints of versions that could not change limits: the line
  // then begins at the end of the seed phase.
  std::optional<Line> line;
};

// What to tell a shard.
struct ShardGrant {
  // Bound on the rows ever accepted by its present memory.
  uint64_t max_accepted_rows = 0;
  // Why that is the bound, for blocked writers.
  std::string reason;
  bool seed_phase_over = false;
  // Start of the learner and the newest version it has published, 0 before the first.
  ParameterVersion newest_version;
  // Incarnation of the newest lease of this start or an earlier one.
  uint64_t newest_lease = 0;
};

// What the trainer is to do next.
enum class TrainerStep {
  kUpdate,     // one update is allowed
  kCloseSeed,  // pretraining is done: close the seed phase, publish, StartTraining
  kEvaluate,   // publish a version to be evaluated, AddEvaluation
  kAct,        // rows are needed: let the actors act (lockstep alone)
  kFinish,     // the run is over, or the learner is to halt
  kWait,       // nothing within the timeout
};

// The control plane of a run: it knows who takes part, which phase the run is in, how rows and
// updates hold each other back, and what is evaluated. Thread-safe. Only the Await methods block;
// whatever changes their answer wakes them, except the passing of time. Its memory is bounded
// because that of its parts is. Limits of time (leases, evaluations) are applied when Tick is
// called.
class RunControl : public SamplingControl {
 public:
  using Reason = proto::LimiterStatus::Reason;
  using WaitTimer = StateTimer<Reason, proto::LimiterStatus::Reason_ARRAYSIZE>;

  // REQUIRES: options.ratio.Validate() is ok, at least one shard. `clock` must outlive this.
  RunControl(const RunControlOptions& options, Clock* clock);

  // Continues from a checkpoint, if there is one, with the evaluations of earlier starts. The phase
  // is then TRAINING if the seed phase was closed. REQUIRES: called before anything else.
  void Restore(const std::optional<RunProgressState>& checkpoint,
               std::vector<proto::EvaluationResult> evaluations);
  RunProgressState Save() const;

  // ---- For actors and evaluators.

  // Registers as Leases::Register does; a lease that the process still holds ends. Once the run is
  // over no lease is kept: the phase in the reply tells the caller to end. The run's id and config
  // are left to the caller.
  absl::StatusOr<proto::RegisterReply> Register(proto::Role role, const std::string& name,
                                                uint32_t environments,
                                                ProcessIdentity identity = {});

  // `waiting`: what the holder waits for, in words; empty when it does not wait. NOT_FOUND when the
  // lease has ended. Telling a holder that the run is over ends its lease.
  absl::StatusOr<proto::HeartbeatReply> Heartbeat(uint64_t lease, const PeerCounters& counters,
                                                  const std::string& waiting = "");
  // Ends the lease of a holder that exits: because of `error` or, if that is empty, because it was
  // told to. Otherwise it does what Heartbeat does.
  absl::StatusOr<proto::HeartbeatReply> Leave(uint64_t lease, const PeerCounters& counters,
                                              const std::string& error);

  // NOT_FOUND when the lease has ended; otherwise as EvaluationSchedule::Report.
  absl::StatusOr<proto::Phase> ReportEvaluation(uint64_t lease, uint64_t id,
                                                ParameterVersion version,
                                                absl::Span<const double> returns);

  // ---- For whoever talks to the shards.

  // Takes in what a shard answered to a grant or to Configure. `seed_phase_over` is true if that
  // grant said that the seed phase is over.
  void ShardAnswered(int shard, const proto::ShardInfo& info, bool seed_phase_over);
  // Notes that the shard cannot be used, and why. `loading`: it says that it loads the rows that it
  // had, so that they are not lost. Returns false if that was known already.
  bool ShardLost(int shard, const std::string& problem, bool loading = false);
  // Notes how many rows of data sets (replay.import) the shard has, and how many it is to get.
  void ShardImported(int shard, uint64_t rows, uint64_t of);
  // REQUIRES: ShardAnswered since it was last lost.
  ShardGrant NextGrant(int shard);

  // ---- For the trainer.

  // Waits for something to do, up to `timeout`.
  TrainerStep AwaitStep(absl::Duration timeout);
  void UpdateDone();
  // Tells that the newest updates were undone because of `why`, which leaves `updates`.
  void Restored(uint64_t updates, std::string why);
  // From now on grants say that the seed phase is over.
  void BeginSeedClosing();
  // Waits until every shard has agreed. False when `timeout` passes or the run is over before.
  bool AwaitSeedClosed(absl::Duration timeout);
  void StartTraining();
  // FAILED_PRECONDITION naming both numbers once more than a quarter of the windows that shards
  // hold are barred from being drawn: what is left no longer represents the environments.
  absl::Status CheckBarred() const;
  // Tells that `version`, which is newer than those before, is published.
  void Published(ParameterVersion version);
  // Has `version` evaluated, and returns what an evaluator is to be told.
  proto::EvaluationAssignment AddEvaluation(ParameterVersion version);
  // Sets what the trainer waits for, in words, where AwaitStep does not know it; empty if it waits
  // for nothing.
  void SetTrainerWait(std::string what);

  // ---- For whoever draws batches.

  // Waits, up to `timeout`, until batches may be drawn: the seed phase has its rows, replay is
  // filled and some shard holds windows. False after the timeout, or once there is nothing more to
  // train.
  bool AwaitSampling(absl::Duration timeout) override;

  // ---- For all.

  // The limits in force.
  RunLimits limits() const;
  // Returns the changes, in the order of Named(), by which `limits` would become the limits in
  // force. Fails as run::CheckLimits does.
  absl::StatusOr<std::vector<proto::LimitChange>> PlanLimits(const RunLimits& limits) const;
  // Makes these the limits, which counts at once for updates and for the next grants, and remembers
  // the changes. REQUIRES: each limit is in the range of its setting.
  void SetLimits(const RunLimits& limits, const std::vector<proto::LimitChange>& changes);
  // Evaluations that were given up in this start of the learner.
  uint64_t given_up_evaluations() const;
  // Time for which the learner, and for which any writer, has waited for each reason.
  const WaitTimer& learner_waits() const { return learner_waits_; }
  const WaitTimer& writers_wait() const { return writers_wait_; }

  // Ends this learner but not the run: the phase stays, and no call waits here any more. Those who
  // ask for the status meanwhile are told `why`. Idempotent: the first reason stays.
  void Halt(const std::string& why = "");
  // Ends the run: phase STOPPING unless it is over. Idempotent.
  void Stop(std::string reason);
  // Ends leases and evaluations whose time is up, checks the stop conditions, measures rates. To be
  // called several times a second. If it was not, because the learner or its machine was paused,
  // the heartbeats and results of that time have yet to be read. Leases then get their full time
  // again, and evaluations as much time as the pause took. Returns how long the learner did not
  // run, usually zero.
  absl::Duration Tick();
  // Sets the part of Status that this object does not know itself: `observed` has the planners and
  // the state of the checkpoints, and no other field.
  void Observe(proto::RunStatus observed);

  // Results that came in, and outstanding evaluations that were given up, since the last call; the
  // oldest are dropped beyond 1024.
  std::vector<EvaluationNews> TakeEvaluationNews();
  // Likewise, training episodes.
  std::vector<EpisodeNews> TakeEpisodeNews();

  // True if nothing is trained any more: the run is over, or the learner halts.
  bool Done() const override;
  proto::Phase phase() const;
  // Why the learner halts, if the run cannot go on as it is configured (see WindowWatch).
  absl::Status Failure() const;
  uint64_t rows() const;
  uint64_t updates() const;
  ParameterVersion version() const;
  // True if every actor and evaluator was told that the run is over, or has gone.
  bool Drained() const;
  std::vector<uint64_t> Masses() const override;
  // Everything but the run directory.
  proto::RunStatus Status() const;

 private:
  // Why no more rows are granted, as a value and in words with cursor and bound.
  struct GrantReason {
    Reason reason = proto::LimiterStatus::NONE;
    std::string text;
  };

  void HaltFor(const std::string& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  TrainerStep NextStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MaySample() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Over() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return halted_ || IsOver(phases_.phase());
  }
  // True while a shard has not got all its rows of data sets.
  bool Importing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string ImportProgress() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  TrainerStep UpdateUnlessRefilling() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  TrainerStep NextSeedStep() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `what`: the reason in words, with the cursor and the bound.
  TrainerStep WaitFor(Reason reason, std::string what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Does the same for a wait that ends when rows come.
  TrainerStep WaitForRows(Reason reason, std::string what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StopWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Why no shard is granted rows yet; empty once all were heard from, or waited for long enough.
  std::string UnheardShards() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Names the shards that load their rows; empty if none does.
  std::string LoadingShards() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The smallest bound on rows, `bound` at least, that lets in what replay lacks to be drawn from.
  uint64_t RefillBound(uint64_t bound) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t RowsBound() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Why the bound on rows is what it is.
  GrantReason WhyNoMoreRows() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What holds writers back: a shard that takes no rows though it was granted some, else `grant`.
  GrantReason WhyWritersWait(const GrantReason& grant) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Writers' streams that reachable shards hold back.
  uint32_t BlockedStreams() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TimeWriters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The environments of the leases that are held.
  uint64_t Environments() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Tells the timers and the demand who waits, since the last call `elapsed` ago.
  void ObserveWaits(absl::Duration elapsed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Which shards the run's last rows may be kept for; empty while there are others to grant.
  std::string KeptGrants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Gives up the grants of shards that have been lost for longer than `keep_grants`.
  void GiveUpShards(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  ReplayContent Replay() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AllReachable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns, from what a shard says of itself, the table that batches are drawn from.
  proto::TableInfo TableOf(const proto::ShardInfo& info) const;
  // Replay needs rows that stop.max_rows does not admit: the updates that wait for them cannot be
  // made.
  bool CannotRefill() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WatchWindows(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // All updates that the rows allow have been made, or cannot be made.
  bool CaughtUp() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool SeedClosed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string OpenShards() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  RunProgress Progress() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Says in words that the run waits for its last evaluations.
  std::string LastEvaluations() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CheckPhase() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CountEpisodes(const Lease& lease, const PeerCounters& counters)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The part of Heartbeat that Leave has too; the role of the holder.
  absl::StatusOr<proto::Role> Beat(uint64_t lease, const PeerCounters& counters,
                                   const std::string& waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The run's phase and newest version.
  proto::HeartbeatReply Instructions() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The progress of the run with what holders of the role bring it: rows, or results.
  uint64_t ProgressOf(proto::Role role) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends a lease. If it had an evaluation, another evaluator can have that now.
  void EndLease(uint64_t lease, proto::Role role, proto::LeaseEnd end, std::string how)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  double Elapsed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  double Remaining(uint64_t rows) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  double SecondsSince(absl::Duration time) const {
    return absl::ToDoubleSeconds(clock_->Now() - time);
  }
  void FillPeers(proto::RunStatus* status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FillShards(proto::RunStatus* status) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FillLimiter(const GrantReason& grant, proto::LimiterStatus* limiter) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  RunLimits Limits() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  struct Shard {
    std::string address;
    bool reachable = false;
    // Why it is not; empty if it is.
    std::string problem;
    // What it last said of itself.
    proto::ShardInfo info;
    // When it was lost, or the learner's start if it has never answered.
    absl::Duration lost_at;
    // True if it has agreed that the seed phase is over, with its present memory or an earlier one.
    bool seed_closed = false;
    // True if it has answered this start of the learner.
    bool heard = false;
    // It is not reachable because it loads its rows.
    bool loading = false;
    // Rows of data sets that it has, and that it is to have; absent until that is known.
    uint64_t imported_rows = 0;
    std::optional<uint64_t> rows_to_import;
  };

  Shard& ShardAt(int shard) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RunControlOptions options_;
  Clock* const clock_;
  const absl::Duration start_;
  WaitTimer learner_waits_;
  WaitTimer writers_wait_;

  mutable Mutex mu_;
  CondVar changed_;
  Leases leases_ ABSL_GUARDED_BY(mu_);
  EvaluationSchedule evaluations_ ABSL_GUARDED_BY(mu_);
  PhaseMachine phases_ ABSL_GUARDED_BY(mu_);
  Ratio ratio_ ABSL_GUARDED_BY(mu_);
  // The newest changes, oldest first.
  std::deque<proto::LimitChange> limit_changes_ ABSL_GUARDED_BY(mu_);
  RowCounter row_counter_ ABSL_GUARDED_BY(mu_);
  RowGrants grants_ ABSL_GUARDED_BY(mu_);
  Rates rates_ ABSL_GUARDED_BY(mu_);
  WindowWatch window_watch_ ABSL_GUARDED_BY(mu_);
  EnvironmentDemand demand_ ABSL_GUARDED_BY(mu_);
  // The time for which the learner had waited for rows at the last observation of the demand.
  double waited_for_rows_ ABSL_GUARDED_BY(mu_) = 0;
  // Most environments that actors had at once.
  uint64_t most_environments_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Shard> shards_ ABSL_GUARDED_BY(mu_);
  uint64_t updates_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t episodes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t restorations_ ABSL_GUARDED_BY(mu_) = 0;
  std::string last_restoration_ ABSL_GUARDED_BY(mu_);
  double earlier_seconds_ ABSL_GUARDED_BY(mu_) = 0;
  bool halted_ ABSL_GUARDED_BY(mu_) = false;
  // True if grants say that the seed phase is over, and true if all shards had agreed to that in an
  // earlier start.
  bool closing_seed_ ABSL_GUARDED_BY(mu_) = false;
  bool seed_was_closed_ ABSL_GUARDED_BY(mu_) = false;
  ParameterVersion version_ ABSL_GUARDED_BY(mu_);
  RunNews news_ ABSL_GUARDED_BY(mu_);
  // In this start of the learner.
  bool had_evaluator_ ABSL_GUARDED_BY(mu_) = false;
  // What the learner waits for. Status fills in the reason of the grants, since it follows from the
  // rest.
  LearnerWaits waits_ ABSL_GUARDED_BY(mu_);
  proto::RunStatus observed_ ABSL_GUARDED_BY(mu_);
  // When Tick was last called, and when rows were last found to be more than before.
  std::optional<absl::Duration> ticked_at_ ABSL_GUARDED_BY(mu_);
  absl::Duration rows_at_ ABSL_GUARDED_BY(mu_);
  uint64_t rows_then_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_RUN_CONTROL_H_
