#ifndef POMPC_LEARNER_TRAINER_H_
#define POMPC_LEARNER_TRAINER_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/occasionally.h"
#include "common/base/rendezvous.h"
#include "common/base/state_timer.h"
#include "common/base/threads.h"
#include "common/base/turns.h"
#include "learner/checkpoint_writer.h"
#include "learner/engine/engine.h"
#include "learner/feed/batch_history.h"
#include "learner/feed/plan_writer.h"
#include "learner/feed/prefetcher.h"
#include "learner/feed/priority_writer.h"
#include "learner/feed/shard_manager.h"
#include "learner/ranks/rank_group.h"
#include "learner/training_log.h"
#include "parameters/publisher.h"
#include "proto/config.pb.h"
#include "run/control/run_control.h"

namespace pompc::learner {

struct TrainerOptions {
  std::string run_id;
  uint64_t learner_incarnation = 1;
  // These describe the checkpoint that this start resumes from: which start made its updates, and
  // how many rows of the run its counters have.
  uint64_t restored_incarnation = 1;
  uint64_t restored_rows = 0;
  // Resolved.
  proto::RunConfig config;
  // The time for which failed writes are repeated for the two checkpoints that must be written: the
  // one before the first version, and the last one.
  absl::Duration write_timeout;
  // The time for which planners keep a version that is being evaluated.
  absl::Duration keep_evaluated;
  // The most times that the same state is restored without a window being barred for it; the next
  // failure ends the run.
  int max_restorations = 5;
  // The longest time that the trainer waits for one thing before it looks whether the run is over.
  absl::Duration look_up = absl::Seconds(1);
  // After an exchange between ranks has failed, the trainer waits this long to learn which rank is
  // gone.
  absl::Duration hear_of_loss = absl::Seconds(2);
  Clock* clock = Clock::Real();
};

// What the trainer works with; all must outlive it. REQUIRES: all but `turns` are given.
struct TrainerParts {
  run::RunControl* control = nullptr;
  Engine* engine = nullptr;
  BatchSource* batches = nullptr;
  parameters::Publisher* publisher = nullptr;
  CheckpointWriter* checkpoints = nullptr;
  TrainingLog* log = nullptr;
  // These take the re-made plans, and the priorities of the windows that were learned from.
  PlanWriter* plans = nullptr;
  PriorityWriter* priorities = nullptr;
  // `turns` hands turns to the actor and is null unless the run's schedule is LOCKSTEP. After each
  // turn, `shards` tells the control of the new rows.
  Turns* turns = nullptr;
  ShardManager* shards = nullptr;
  // The other ranks, and the values by which they are found; the engine's own rank is 0.
  RankGroup* ranks = nullptr;
  std::shared_ptr<Rendezvous> rank_values;
};

// Makes the updates of a run: waits until the control allows one, takes a batch, steps, and now and
// then publishes, logs and checkpoints. Before it does one of these three, the engine checks that
// its state is finite and keeps a copy. When an update gives NaN or infinity, the engine goes back
// to that copy, the windows that cause it are barred from replay, and training continues with the
// next batch. Engine calls that wait for the other ranks are announced to these ranks before they
// are made. Run belongs to one thread; the rest is thread-safe.
class Trainer {
 public:
  enum class State {
    kWaitingForRows,  // the ratio, the seed phase or a refill holds updates back
    kWaitingForData,  // no batch is ready, or another rank has none
    kUpdating,        // and re-planning rows
    kPublishing,
    kCheckpointing,  // copying the state, or waiting for the disk
    kClosingSeed,    // waiting for the shards' consent
    kEnded,
  };
  static constexpr size_t kStates = 7;
  // Names of the states, in order.
  static const std::array<absl::string_view, kStates>& StateNames();
  using Timer = StateTimer<State, kStates>;

  Trainer(const TrainerOptions& options, const TrainerParts& parts);

  // Trains until the control says that it is over (or halts), then makes a last checkpoint: OK, or
  // why the control halts the learner (run::RunControl::Failure).
  // UNAVAILABLE naming the rank when one was lost; the newest checkpoint is then what there is.
  // INTERNAL naming the loss when the same state was restored max_restorations times without a
  // window to blame and an update failed again, likewise. FAILED_PRECONDITION when too many windows
  // are barred (run::RunControl::CheckBarred), after a last checkpoint of what was kept. Errors of
  // files when the checkpoint before the first version or the last one cannot be written within
  // write_timeout, or at once as CheckpointWriter::CheckInPlace.
  absl::Status Run();

  const Timer& timer() const { return timer_; }
  // The values (ValueNames) of the newest update that was logged.
  NamedValues values() const;
  // What is logged of an update, the engine's own values first.
  static std::vector<std::string> ValueNames(const Engine& engine);
  // Restorations because of this loss, one of Engine::LossNames().
  uint64_t restorations(const std::string& loss) const;
  // Windows barred from replay.
  uint64_t barred_windows() const { return history_.barred_windows(); }

 private:
  absl::Status Train();
  // Waits for the other ranks and connects to them. False: the run was over before.
  absl::StatusOr<bool> GatherRanks();
  // Waits until every rank has its part of the batch. False: the run was over before.
  absl::StatusOr<bool> AwaitOtherBatches();
  // Gives an order without further fields.
  void Tell(proto::RankOrder::Kind kind) const;
  absl::Status RunSteps();
  absl::Status Update();
  absl::Status Step(DrawnBatch drawn);
  // Has the engine keep its state, if it did not after the newest update. NotFiniteError where that
  // is not finite.
  absl::Status Keep();
  // After a NotFiniteError; other errors stay as they are.
  absl::Status Restore(const absl::Status& status);
  // Re-plans rows of the batch of the next update if it is time to.
  absl::Status Reanalyze(Engine::Batch& batch);
  // Has the shards told of the priorities that updates have found.
  void WritePriorities();
  absl::Status AfterUpdate(const NamedValues& values, bool logged);
  // These begin with Keep, and with its error nothing has happened.
  absl::Status CloseSeed();
  absl::Status Evaluate();
  absl::Status Act();
  absl::Status Publish(absl::Duration keep);
  void LogUpdate(const NamedValues& values);
  // Enters the state, and says what may be waited for.
  void BeginCheckpointing();
  void SaveCheckpoint(bool pin);
  // Returns when it is on disk; `which` stands in the error.
  absl::Status SaveCheckpointNow(absl::string_view which);
  // True if there is something that no checkpoint has.
  bool HasNews() const;
  std::unique_ptr<Checkpoint> MakeCheckpoint();

  const TrainerOptions options_;
  const TrainerParts parts_;
  const std::string config_text_;
  Timer timer_;

  // From here to mu_: used by the thread in Run alone.
  ParameterVersion version_;
  // The number of updates with which this start of the learner began.
  const uint64_t restored_updates_;
  // Rows of the run in the checkpoint that was made or restored last.
  uint64_t saved_rows_;
  Occasionally log_failed_{absl::Seconds(30)};
  // The batches since the engine's state was kept last.
  BatchHistory history_;
  // After which update the engine's state was kept last, and how often it was restored since with
  // no window to blame.
  std::optional<uint64_t> kept_;
  int restored_ = 0;
  // True once a restoration found no window at fault. The engine then noticed the problem too late,
  // so from then on it checks its state before the history forgets a batch.
  bool keeps_often_ = false;
  // The run ends because too many windows are barred; the engine is at the state that was kept
  // last.
  bool too_many_barred_ = false;

  mutable Mutex mu_;
  NamedValues values_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> restorations_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_TRAINER_H_
