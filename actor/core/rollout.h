#ifndef POMPC_ACTOR_CORE_ROLLOUT_H_
#define POMPC_ACTOR_CORE_ROLLOUT_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actor/core/environment_slot.h"
#include "actor/core/mailbox.h"
#include "actor/core/plan_source.h"
#include "actor/core/row_sink.h"
#include "actor/core/seeds.h"
#include "actor/core/stats.h"
#include "common/base/backoff.h"
#include "common/base/occasionally.h"
#include "common/base/threads.h"
#include "common/base/turns.h"

namespace pompc::actor {

struct RolloutOptions {
  // Seeds of the first environment. The others count up from seeds.environment, which is also their
  // number in the row sink.
  SeedSource seeds;
  int environments = 1;
  // The number of this worker in ActorStats.
  int worker = 0;
  // The run is in its random phase at the start.
  bool random_phase = false;
  // Range of the standard deviations of the run's plans.
  StdRange plan_std;
  // Pauses before a plan that failed is requested again.
  BackoffOptions retry = {.initial = absl::Milliseconds(50), .max = absl::Seconds(2)};
  // Pause before an environment starts an episode after a refusal, or after it failed at its first
  // decision.
  absl::Duration restart_pause = absl::Milliseconds(200);
  // Failures that a retry cannot solve end the rollout once they have lasted this long without a
  // success. These are plans that are refused with INVALID_ARGUMENT, FAILED_PRECONDITION and the
  // like and, for any one environment, episodes that are refused with INVALID_ARGUMENT or a sink
  // that refuses the environment.
  absl::Duration give_up_after = absl::Seconds(10);
};

// Plays episodes in several environments on one thread: asks for plans, executes them, hands the
// rows to replay. While some environments wait for plans or for room in replay, the others are
// stepped. In the random phase actions are drawn uniformly and rows carry no plan; when the phase
// ends, random episodes are dropped and begun again with plans.
//
// Run belongs to one thread; SetRandomPhase, Stop and the listener may be called from any. Waits
// without bound for plans and for replay, and says so in the stats; nothing else blocks. A refused
// episode is begun again, and the stats name the refusal as a reason for waiting until replay
// acknowledges something of that environment. Refusals are counted by the listeners that hear of
// each. Does not own what it is given.
class Rollout {
 public:
  // Makes the environments. Fails as the factory does.
  static absl::StatusOr<std::unique_ptr<Rollout>> Make(const RolloutOptions& options,
                                                       const EnvironmentFactory& factory,
                                                       PlanSource* plans, ActorStats* stats,
                                                       Clock* clock);

  // The listener to which the sink must report its news about the rollout's environments.
  RowSinkListener* listener() { return &mailbox_; }

  // Plays until Stop (OK), or until an environment cannot be started or stepped, plans or rows are
  // refused for good or the sink fails (the error). Before it returns, every plan in flight has
  // come back, and what was played is with the sink, the episodes cut where they stood. Call once.
  absl::Status Run(RowSink* sink);
  // Does what Run does, but in turns. In each turn every environment makes one row, in the order of
  // the environments, with the parameters that the turn names. After each row `flush` waits until
  // it is stored, before the next is made; it is called again after DEADLINE_EXCEEDED, and any
  // other error of it ends the rollout. What is played depends on the turns alone, not on the
  // clock.
  absl::Status RunInTurns(RowSink* sink, Turns* turns, const std::function<absl::Status()>& flush);

  // Without effect on turns.
  void SetRandomPhase(bool random_phase);
  // Idempotent.
  void Stop();

  const env::EnvironmentSpec& spec() const { return lanes_[0].slot->spec(); }

 private:
  enum class Stage {
    kStart,     // an episode is to be started
    kDecide,    // at a state whose action is to be chosen
    kFull,      // the same, but replay has no room for the row
    kPlanning,  // a plan is in flight
    kRetry,     // a plan failed: to be asked for again at hold_until
    kPause,     // the episode was abandoned: the next one starts at hold_until
  };
  // One environment and where it stands.
  struct Lane {
    Lane(std::unique_ptr<EnvironmentSlot> s, const BackoffOptions& retry, uint64_t seed)
        : slot(std::move(s)), backoff(retry, seed) {}

    std::unique_ptr<EnvironmentSlot> slot;
    Backoff backoff;
    Stage stage = Stage::kStart;
    bool random = false;
    // Made since the start.
    uint64_t rows = 0;
    // Stands in ready_.
    bool queued = false;
    absl::Duration asked_at;
    absl::Duration hold_until;
    // True while an episode was refused and replay has acknowledged nothing since; `acknowledged`
    // is what it had acknowledged at that time.
    bool refused = false;
    uint64_t acknowledged = 0;
    // Since when the reason of the refusals has been one that does not pass by itself.
    std::optional<absl::Duration> refused_since;
  };

  Rollout(const RolloutOptions& options, std::vector<Lane> lanes, PlanSource* plans,
          ActorStats* stats, Clock* clock);

  void Begin(RowSink* sink);
  void Round();
  // Moves what has happened since the last call into letters_; if `waits`, waits until something
  // has.
  void Hear(bool waits);
  void PlayTurn(const Turns::Turn& turn, const std::function<absl::Status()>& flush);
  void EnterWaiting();
  void FollowPhase(bool random);
  void HandleLetter(const Letter& letter);
  void HandlePlan(int lane, const Letter& letter);
  void HandlePlanFailure(int lane, const absl::Status& status);
  // Moves each environment that can move by one decision.
  void AdvanceReady();
  void Advance(int lane);
  bool StartEpisode(int lane);
  void Execute(int lane);
  void CloseEpisode(int lane, EpisodeEnd end);
  void HandleSinkError(int lane, const absl::Status& status);
  // Notes that replay refuses the environment's rows and, if `lasting`, that it will go on doing
  // so.
  void NoteRefusal(int lane, const absl::Status& why, bool lasting);
  void ForgetRefusal(int lane);
  // Gives the episode up; the next one starts after `pause`.
  void Abandon(int lane, absl::Duration pause);
  void MakeReady(int lane, Stage stage);
  void Hold(int lane, Stage stage, absl::Duration until);
  void WakeHolds();
  void FinishUp();
  // Tells the stats what is wrong with plans; empty: nothing.
  void SetPlanProblem(std::string problem);
  // The same of replay.
  void SetReplayProblem(std::string problem);
  void TellProblems();
  int environment(int lane) const { return static_cast<int>(options_.seeds.environment) + lane; }

  // Constant after construction.
  const RolloutOptions options_;
  ActorStats* const stats_;
  Clock* const clock_;

  // These are thread-safe.
  Mailbox mailbox_;
  std::atomic<bool> wanted_random_phase_;
  std::atomic<bool> stop_{false};

  // Belongs to the thread in Run.
  PlanAsker asker_;
  RowSink* sink_ = nullptr;
  std::vector<Lane> lanes_;
  // Lanes that can move, and those that are being moved.
  std::vector<int> ready_;
  std::vector<int> advancing_;
  std::vector<Letter> letters_;
  // No lane holds until earlier than this.
  absl::Duration next_hold_ = absl::InfiniteDuration();
  bool random_phase_;
  // The only version to plan with; not valid(): the newest.
  ParameterVersion pinned_;
  // What the stats hold as reasons for waiting.
  std::string plan_problem_;
  std::string replay_problem_;
  // When plans began to fail for a reason that does not pass by itself.
  std::optional<absl::Duration> failing_since_;
  // Failures of the simulation in the log.
  Occasionally faults_{absl::Seconds(30)};
  absl::Status error_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_ROLLOUT_H_
