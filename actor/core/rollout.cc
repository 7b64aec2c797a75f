#include "actor/core/rollout.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/retry.h"
#include "common/process/log.h"

namespace pompc::actor {
namespace {

// The interval at which a rollout that waits for its turn looks whether it is to stop.
constexpr absl::Duration kLookForStop = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<std::unique_ptr<Rollout>> Rollout::Make(const RolloutOptions& options,
                                                       const EnvironmentFactory& factory,
                                                       PlanSource* plans, ActorStats* stats,
                                                       Clock* clock) {
  std::vector<Lane> lanes;
  for (int i = 0; i < options.environments; ++i) {
    // Seeds follow from the number of the environment and not from the thread that steps it.
    SeedSource seeds = options.seeds;
    seeds.environment += i;
    POMPC_ASSIGN_OR_RETURN(auto slot, EnvironmentSlot::Make(factory, seeds, options.plan_std));
    lanes.emplace_back(std::move(slot), options.retry, seeds.For(SeedUse::kRetries));
  }
  return std::unique_ptr<Rollout>(new Rollout(options, std::move(lanes), plans, stats, clock));
}

Rollout::Rollout(const RolloutOptions& options, std::vector<Lane> lanes, PlanSource* plans,
                 ActorStats* stats, Clock* clock)
    : options_(options),
      stats_(stats),
      clock_(clock),
      mailbox_(static_cast<int>(options.seeds.environment), options.environments, clock),
      wanted_random_phase_(options.random_phase),
      asker_(plans, &mailbox_),
      lanes_(std::move(lanes)),
      random_phase_(options.random_phase) {
  POMPC_CHECK(!lanes_.empty());
  // These lists are swapped with one another and with the mailbox's. Each has room for every lane,
  // so that no round allocates.
  ready_.reserve(lanes_.size());
  advancing_.reserve(lanes_.size());
  letters_.reserve(lanes_.size());
}

void Rollout::SetRandomPhase(bool random_phase) {
  // The wish is only noted here. The thread in Run changes the phase between two decisions
  // (FollowPhase).
  wanted_random_phase_ = random_phase;
  mailbox_.Wake();
}

void Rollout::Stop() {
  stop_ = true;
  mailbox_.Wake();
}

void Rollout::Begin(RowSink* sink) {
  sink_ = sink;
  for (size_t i = 0; i < lanes_.size(); ++i) MakeReady(static_cast<int>(i), Stage::kStart);
  stats_->timer(options_.worker)->Enter(WorkerState::kStepping);
}

absl::Status Rollout::Run(RowSink* sink) {
  Begin(sink);
  while (!stop_ && error_.ok()) Round();
  FinishUp();
  return error_;
}

absl::Status Rollout::RunInTurns(RowSink* sink, Turns* turns,
                                 const std::function<absl::Status()>& flush) {
  Begin(sink);
  while (!stop_ && error_.ok()) {
    stats_->timer(options_.worker)->Enter(WorkerState::kWaitingForLearner);
    // Stop does not wake a thread that waits for its turn, so the thread checks for it.
    const std::optional<Turns::Turn> turn = turns->Take(kLookForStop);
    if (!turn.has_value()) continue;
    stats_->timer(options_.worker)->Enter(WorkerState::kStepping);
    PlayTurn(*turn, flush);
    turns->GiveBack();
  }
  FinishUp();
  return error_;
}

// Each lane moves until it has made its row. If its episode fails before that, the next one begins
// within the same turn. Other lanes that are ready stay so: they move later in this turn or, if
// they have made their row, in the next one. The learner samples the rows of a turn as soon as the
// turn is over, so they must be stored by then. Storing each row before the next one is made also
// gives a shard the same order of rows in every run.
void Rollout::PlayTurn(const Turns::Turn& turn, const std::function<absl::Status()>& flush) {
  pinned_ = turn.version;
  FollowPhase(!turn.version.valid());
  for (size_t i = 0; i < lanes_.size(); ++i) {
    Lane& lane = lanes_[i];
    const uint64_t rows = lane.rows;
    while (lane.rows == rows) {
      if (stop_ || !error_.ok()) return;
      if (lane.queued) {
        std::erase(ready_, static_cast<int>(i));
        lane.queued = false;
        Advance(static_cast<int>(i));
        asker_.Send();
      } else {
        Hear(/*waits=*/true);
        for (const Letter& letter : letters_) HandleLetter(letter);
        WakeHolds();
      }
    }
    absl::Status stored = flush();
    while (absl::IsDeadlineExceeded(stored) && !stop_) stored = flush();
    if (!stored.ok() && !stop_) error_ = stored;
  }
}

// Hears what has happened, waiting for it only if nothing is left to do, and moves every
// environment that can move by one decision: those whose plans arrived one after the other from the
// plan to the next question, so that planners get to work while the rest are stepped.
void Rollout::Round() {
  Hear(ready_.empty());
  FollowPhase(wanted_random_phase_);
  WakeHolds();
  AdvanceReady();
  // Each plan is executed, and the environment's next query is added, before the next letter is
  // handled. PlanAsker gathers the queries: docs/performance.md (Actors) measured 14 in a request.
  for (const Letter& letter : letters_) {
    HandleLetter(letter);
    AdvanceReady();
  }
  asker_.Send();
}

void Rollout::AdvanceReady() {
  // Lanes that become ready meanwhile wait for the next call. In the random phase a lane is ready
  // again after each step, and the letters would never be read.
  advancing_.swap(ready_);
  for (int lane : advancing_) {
    if (stop_ || !error_.ok()) break;
    lanes_[lane].queued = false;
    Advance(lane);
  }
  advancing_.clear();
}

void Rollout::Hear(bool waits) {
  if (waits) EnterWaiting();
  // With the present time as its deadline, Take gives what is there and does not wait.
  mailbox_.Take(waits ? next_hold_ : clock_->Now(), &letters_);
  if (waits) stats_->timer(options_.worker)->Enter(WorkerState::kStepping);
}

void Rollout::EnterWaiting() {
  WorkerState state = WorkerState::kWaitingForLearner;
  // One state stands for all lanes. Plans come first: only when no lane waits for a plan does the
  // worker count as waiting for replay (docs/metrics.md).
  for (const Lane& lane : lanes_) {
    if (lane.stage == Stage::kPlanning || lane.stage == Stage::kRetry) {
      state = WorkerState::kWaitingForPlan;
      break;
    }
    if (lane.stage == Stage::kFull) state = WorkerState::kWaitingForReplay;
  }
  stats_->timer(options_.worker)->Enter(state);
}

// The random phase ends for every environment at once: replay refuses random rows from then on.
void Rollout::FollowPhase(bool random) {
  if (random == random_phase_) return;
  random_phase_ = random;
  if (random_phase_) return;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    // The pause may follow a random row that replay refused. With plans there is no reason to wait.
    if (lane.stage == Stage::kPause) {
      Hold(static_cast<int>(i), Stage::kPause, clock_->Now());
    } else if (lane.stage != Stage::kStart && lane.random) {
      Abandon(static_cast<int>(i), absl::ZeroDuration());
    }
  }
}

void Rollout::HandleLetter(const Letter& letter) {
  if (letter.plan_done) HandlePlan(letter.slot, letter);
  // If the lane was abandoned after it had asked for room, it starts a new episode first.
  if (letter.room && lanes_[letter.slot].stage == Stage::kFull) {
    MakeReady(letter.slot, Stage::kDecide);
  }
  if (!letter.refusal.ok()) {
    NoteRefusal(letter.slot, letter.refusal, absl::IsInvalidArgument(letter.refusal));
  }
}

void Rollout::HandlePlan(int i, const Letter& letter) {
  Lane& lane = lanes_[i];
  POMPC_CHECK(lane.stage == Stage::kPlanning, "a plan that nobody waits for");
  const absl::Status status = lane.slot->AcceptPlan(letter.plan_status);
  if (!status.ok()) {
    HandlePlanFailure(i, status);
    return;
  }
  lane.backoff.Reset();
  failing_since_.reset();
  SetPlanProblem("");
  stats_->AddPlan(letter.plan_time - lane.asked_at);
  Execute(i);
}

void Rollout::HandlePlanFailure(int i, const absl::Status& status) {
  stats_->AddPlanFailure();
  const absl::Duration now = clock_->Now();
  // The retry has the same seed, so that the plan does not depend on how often it was requested or
  // on which planner answers in the end.
  Hold(i, Stage::kRetry, now + lanes_[i].backoff.Next());
  SetPlanProblem(absl::StrCat("no plan: ", status.ToString()));
  if (!IsLasting(status)) {
    failing_since_.reset();
    return;
  }
  if (!failing_since_.has_value()) failing_since_ = now;
  if (now - *failing_since_ >= options_.give_up_after) error_ = Annotate(status, "planner");
}

// Moves an environment at kStart or kDecide as far as it goes without waiting.
void Rollout::Advance(int i) {
  Lane& lane = lanes_[i];
  if (lane.stage == Stage::kStart && !StartEpisode(i)) return;
  if (lane.stage != Stage::kDecide) return;
  // Room is asked for before the plan: if the row would have to wait, it is better planned later,
  // by a newer policy. After HasRoom has returned false, the sink reports when there is room, so
  // that the lane is not forgotten.
  if (!sink_->HasRoom(environment(i))) {
    lane.stage = Stage::kFull;
  } else if (lane.random) {
    lane.slot->DrawAction();
    Execute(i);
  } else {
    lane.stage = Stage::kPlanning;
    lane.asked_at = clock_->Now();
    asker_.Add(lane.slot->AskPlan(i), {.pinned_version = pinned_}, lane.asked_at);
  }
}

bool Rollout::StartEpisode(int i) {
  Lane& lane = lanes_[i];
  error_ = lane.slot->StartEpisode();
  if (!error_.ok()) return false;
  sink_->BeginEpisode(environment(i));
  lane.random = random_phase_;
  lane.stage = Stage::kDecide;
  return true;
}

// Executes the lane's action and hands on the row. A step whose simulation failed is forgotten:
// the episode is cut in the state before it.
void Rollout::Execute(int i) {
  Lane& lane = lanes_[i];
  EnvironmentSlot& slot = *lane.slot;
  const absl::StatusOr<StepOutcome> stepped = slot.Step();
  if (!stepped.ok()) {
    error_ = stepped.status();
    return;
  }
  const StepOutcome& outcome = *stepped;
  if (outcome.unstable) {
    if (const uint64_t times = faults_.Count(clock_->Now()); times > 0) {
      Log().warn("environment {}: the simulation failed ({} times since this was last told): {}",
                 environment(i), times, slot.fault().ToString());
    }
    CloseEpisode(i, outcome.end());
    return;
  }
  // The row borrows the slot's buffers, which MoveOn overwrites, so it is passed on first.
  const absl::Status appended = sink_->Append(environment(i), slot.row());
  if (!appended.ok()) {
    HandleSinkError(i, appended);
    return;
  }
  // One acknowledged row shows that replay takes this environment's rows again.
  if (lane.refused && sink_->Acknowledged(environment(i)) > lane.acknowledged) ForgetRefusal(i);
  stats_->AddRow(lane.random);
  ++lane.rows;
  slot.MoveOn();
  if (outcome.done()) {
    CloseEpisode(i, outcome.end());
  } else {
    MakeReady(i, Stage::kDecide);
  }
}

void Rollout::CloseEpisode(int i, EpisodeEnd end) {
  const EnvironmentSlot& slot = *lanes_[i].slot;
  stats_->AddEpisode(end, slot.episode_return());
  if (slot.decisions() == 0) {
    // It left nothing behind, and the next one may fail as soon.
    Hold(i, Stage::kPause, clock_->Now() + options_.restart_pause);
    return;
  }
  // The lane changes to kStart before the sink is called: by this stage HandleSinkError recognises
  // that the episode has ended already.
  MakeReady(i, Stage::kStart);
  const absl::Status ended = sink_->EndEpisode(environment(i), slot.observation());
  if (!ended.ok()) HandleSinkError(i, ended);
}

void Rollout::HandleSinkError(int i, const absl::Status& status) {
  // FAILED_PRECONDITION means that the shard refuses this process. ABORTED means that it has
  // refused the episode, and a letter says why. Any other error ends the rollout.
  if (absl::IsFailedPrecondition(status)) {
    NoteRefusal(i, status, /*lasting=*/true);
  } else if (!absl::IsAborted(status)) {
    error_ = Annotate(status, absl::StrCat("replay, environment ", environment(i)));
    return;
  }
  if (lanes_[i].stage == Stage::kStart) {
    // The episode had ended: only the next one has to wait.
    Hold(i, Stage::kPause, clock_->Now() + options_.restart_pause);
  } else {
    Abandon(i, options_.restart_pause);
  }
}

void Rollout::NoteRefusal(int i, const absl::Status& why, bool lasting) {
  Lane& lane = lanes_[i];
  const absl::Duration now = clock_->Now();
  const uint64_t acknowledged = sink_->Acknowledged(environment(i));
  // What passes by itself (the seed phase is over and the learner has not told yet, a later
  // incarnation wrote and this lease is about to end) is waited for, however long the learner is
  // away.
  if (!lasting || acknowledged > lane.acknowledged) lane.refused_since.reset();
  lane.refused = true;
  lane.acknowledged = acknowledged;
  if (lasting && !lane.refused_since.has_value()) lane.refused_since = now;
  if (lasting && now - *lane.refused_since >= options_.give_up_after) {
    error_ = Annotate(why, absl::StrCat("replay, environment ", environment(i)));
  }
  SetReplayProblem(
      absl::StrCat("replay refused environment ", environment(i), ": ", why.message()));
}

void Rollout::ForgetRefusal(int i) {
  lanes_[i].refused = false;
  lanes_[i].refused_since.reset();
  const bool others =
      std::any_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.refused; });
  if (!others) SetReplayProblem("");
}

void Rollout::Abandon(int i, absl::Duration pause) {
  stats_->AddEpisode(EpisodeEnd::kDropped, lanes_[i].slot->episode_return());
  Hold(i, Stage::kPause, clock_->Now() + pause);
}

void Rollout::MakeReady(int i, Stage stage) {
  Lane& lane = lanes_[i];
  lane.stage = stage;
  if (lane.queued) return;
  lane.queued = true;
  ready_.push_back(i);
}

void Rollout::Hold(int i, Stage stage, absl::Duration until) {
  lanes_[i].stage = stage;
  lanes_[i].hold_until = until;
  // This is a lower bound: it stays when a lane moves on earlier, and WakeHolds makes it exact.
  next_hold_ = std::min(next_hold_, until);
}

void Rollout::WakeHolds() {
  if (next_hold_ == absl::InfiniteDuration()) return;
  const absl::Duration now = clock_->Now();
  if (next_hold_ > now) return;
  next_hold_ = absl::InfiniteDuration();
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Stage stage = lanes_[i].stage;
    if (stage != Stage::kRetry && stage != Stage::kPause) continue;
    if (lanes_[i].hold_until > now) {
      next_hold_ = std::min(next_hold_, lanes_[i].hold_until);
    } else {
      MakeReady(static_cast<int>(i), stage == Stage::kRetry ? Stage::kDecide : Stage::kStart);
    }
  }
}

void Rollout::SetPlanProblem(std::string problem) {
  if (problem == plan_problem_) return;
  plan_problem_ = std::move(problem);
  TellProblems();
}

void Rollout::SetReplayProblem(std::string problem) {
  if (problem == replay_problem_) return;
  replay_problem_ = std::move(problem);
  TellProblems();
}

void Rollout::TellProblems() {
  const char* between = plan_problem_.empty() || replay_problem_.empty() ? "" : "; ";
  stats_->SetWaiting(options_.worker, absl::StrCat(plan_problem_, between, replay_problem_));
}

void Rollout::FinishUp() {
  asker_.Send();
  EnterWaiting();
  // The queries that were held back have just been sent; otherwise their answers would never come.
  // Plans in flight write into the slots, so all of them are awaited.
  std::vector<EnvironmentSlot*> slots;
  for (const Lane& lane : lanes_) slots.push_back(lane.slot.get());
  AwaitPlans(slots, &mailbox_, &letters_);
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    if (lane.stage == Stage::kStart || lane.stage == Stage::kPause) continue;
    if (lane.slot->decisions() == 0) continue;
    // Refused or closed: then there is nobody left to take the rest.
    sink_->EndEpisode(environment(static_cast<int>(i)), lane.slot->observation()).IgnoreError();
  }
  stats_->timer(options_.worker)->Enter(WorkerState::kWaitingForLearner);
  SetPlanProblem("");
  SetReplayProblem("");
}

}  // namespace pompc::actor
