#include "actor/core/evaluator.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "actor/core/seeds.h"
#include "common/base/check.h"
#include "common/base/retry.h"

namespace pompc::actor {
namespace {

// Attempts at an episode whose simulation fails. One that fails this often will fail again.
constexpr int kEpisodeTries = 3;

// Returns how many episodes are played at a time.
int Lanes(const EvaluatorOptions& options, const EvaluationTask& task) {
  return std::max(1, std::min(options.parallel, task.episodes));
}

}  // namespace

Evaluator::Evaluator(const EvaluatorOptions& options, const EvaluationTask& task,
                     EnvironmentFactory factory, PlanSource* plans, ActorStats* stats, Clock* clock)
    : options_(options),
      task_(task),
      factory_(std::move(factory)),
      stats_(stats),
      clock_(clock),
      mailbox_(0, Lanes(options, task), clock),
      asker_(plans, &mailbox_) {
  const int lanes = Lanes(options, task);
  for (int i = 0; i < lanes; ++i) {
    lanes_.emplace_back(options.retry, MixSeeds({task.seed, static_cast<uint64_t>(i)}));
  }
  letters_.reserve(lanes);
  outcome_.returns.resize(task.episodes);
  outcome_.decisions.resize(task.episodes);
}

void Evaluator::Cancel() {
  cancelled_ = true;
  mailbox_.Wake();
}

// Each lane plays one episode at a time and takes the next one when it is over, so that the last
// episodes are short of company for as short as possible.
absl::StatusOr<EvaluationOutcome> Evaluator::Run() {
  POMPC_CHECK_EQ(next_episode_, 0, "Run is called once");
  last_plan_ = clock_->Now();
  absl::Status status;
  for (size_t i = 0; i < lanes_.size() && status.ok(); ++i) status = StartNext(static_cast<int>(i));
  while (status.ok() && finished_ < task_.episodes) {
    status = cancelled_ ? absl::CancelledError("the evaluation was cancelled") : Round();
  }
  FinishUp();
  if (!status.ok()) return status;
  stats_->AddEvaluation();
  return std::move(outcome_);
}

// An environment is made for each episode, not reused: its random numbers then follow from the
// episode's number, whichever lane plays it.
absl::Status Evaluator::StartNext(int i) {
  Lane& lane = lanes_[i];
  lane.slot = nullptr;
  if (next_episode_ == task_.episodes) return absl::OkStatus();
  lane.episode = next_episode_++;
  lane.failed_tries = 0;
  const SeedSource seeds = {.run_seed = task_.seed,
                            .environment = static_cast<uint64_t>(lane.episode)};
  POMPC_ASSIGN_OR_RETURN(lane.slot, EnvironmentSlot::Make(factory_, seeds, options_.plan_std));
  POMPC_RETURN_IF_ERROR(lane.slot->StartEpisode());
  POMPC_RETURN_IF_ERROR(Show(lane));
  Ask(i);
  return absl::OkStatus();
}

void Evaluator::Ask(int i) {
  Lane& lane = lanes_[i];
  lane.retry_at.reset();
  lane.asked_at = clock_->Now();
  asker_.Add(lane.slot->AskPlan(i), {.evaluate = true, .pinned_version = task_.version},
             lane.asked_at);
}

// Waits for plans, plays on with those that arrived, and requests again those that failed.
absl::Status Evaluator::Round() {
  // Patience counts from the last plan of any lane: as long as plans come, even slowly, the
  // evaluation continues.
  absl::Duration deadline = last_plan_ + options_.patience;
  for (const Lane& lane : lanes_) {
    if (lane.retry_at.has_value()) deadline = std::min(deadline, *lane.retry_at);
  }
  asker_.Send();
  stats_->timer(0)->Enter(WorkerState::kWaitingForPlan);
  mailbox_.Take(deadline, &letters_);
  stats_->timer(0)->Enter(WorkerState::kStepping);
  absl::Status status;
  for (const Letter& letter : letters_) {
    if (letter.plan_done) status.Update(HandlePlan(letter.slot, letter));
  }
  // All letters are handled before an error ends the round, so that no plan that arrived is missed.
  POMPC_RETURN_IF_ERROR(status);
  const absl::Duration now = clock_->Now();
  if (now >= last_plan_ + options_.patience) {
    return absl::DeadlineExceededError(absl::StrCat("no plan has arrived for ",
                                                    absl::FormatDuration(options_.patience), "; ",
                                                    stats_->Waiting()));
  }
  for (size_t i = 0; i < lanes_.size(); ++i) {
    if (lanes_[i].retry_at.has_value() && *lanes_[i].retry_at <= now) Ask(static_cast<int>(i));
  }
  return absl::OkStatus();
}

absl::Status Evaluator::HandlePlan(int i, const Letter& letter) {
  Lane& lane = lanes_[i];
  POMPC_CHECK(lane.slot != nullptr, "a plan for a lane that is done");
  const absl::Status status = lane.slot->AcceptPlan(letter.plan_status);
  if (!status.ok()) return HandleFailure(i, status);
  lane.backoff.Reset();
  // This is the time of arrival: the letter may have waited while other episodes were stepped.
  last_plan_ = letter.plan_time;
  failing_since_.reset();
  stats_->SetWaiting(0, "");
  stats_->AddPlan(letter.plan_time - lane.asked_at);
  return Play(i);
}

absl::Status Evaluator::HandleFailure(int i, const absl::Status& status) {
  // Any planner that refuses for another reason, such as a version that it has not received yet,
  // may still answer: only an uninterrupted series of lasting refusals ends the evaluation early.
  const absl::Duration now = clock_->Now();
  stats_->AddPlanFailure();
  stats_->SetWaiting(0, absl::StrCat("no plan: ", status.ToString()));
  lanes_[i].retry_at = now + lanes_[i].backoff.Next();
  if (!IsLasting(status)) {
    failing_since_.reset();
  } else if (!failing_since_.has_value()) {
    failing_since_ = now;
  } else if (now - *failing_since_ >= options_.give_up_after) {
    return Annotate(status, "planner");
  }
  return absl::OkStatus();
}

absl::Status Evaluator::Play(int i) {
  EnvironmentSlot& slot = *lanes_[i].slot;
  POMPC_ASSIGN_OR_RETURN(const StepOutcome outcome, slot.Step());
  if (outcome.unstable) return PlayAgain(i);
  slot.MoveOn();
  POMPC_RETURN_IF_ERROR(Show(lanes_[i]));
  if (!outcome.done()) {
    Ask(i);
    return absl::OkStatus();
  }
  // Results are stored by the number of the episode, in whatever order episodes end.
  stats_->AddEpisode(outcome.end(), slot.episode_return());
  outcome_.returns[lanes_[i].episode] = slot.episode_return();
  outcome_.decisions[lanes_[i].episode] = slot.decisions();
  ++finished_;
  POMPC_CHECK_LE(finished_, task_.episodes);
  return StartNext(i);
}

// Neither the environment's generator nor the numbering of plans is reset: the new attempt is a
// different one, and still follows from the episode's seed.
absl::Status Evaluator::PlayAgain(int i) {
  Lane& lane = lanes_[i];
  EnvironmentSlot& slot = *lane.slot;
  stats_->AddEpisode(EpisodeEnd::kUnstable, slot.episode_return());
  if (++lane.failed_tries == kEpisodeTries) {
    return absl::AbortedError(absl::StrCat("episode ", lane.episode + 1,
                                           ": the simulation failed in each of ", kEpisodeTries,
                                           " attempts: ", slot.fault().message()));
  }
  POMPC_RETURN_IF_ERROR(slot.StartEpisode());
  POMPC_RETURN_IF_ERROR(Show(lane));
  Ask(i);
  return absl::OkStatus();
}

// Only the first episode is shown: a film has one.
absl::Status Evaluator::Show(const Lane& lane) {
  if (lane.episode != 0 || options_.spectator == nullptr) return absl::OkStatus();
  return options_.spectator(lane.slot->environment());
}

// Plans in flight write into the slots, which must therefore outlive them.
void Evaluator::FinishUp() {
  asker_.Send();
  std::vector<EnvironmentSlot*> slots;
  for (const Lane& lane : lanes_) slots.push_back(lane.slot.get());
  AwaitPlans(slots, &mailbox_, &letters_);
  stats_->timer(0)->Enter(WorkerState::kWaitingForLearner);
  stats_->SetWaiting(0, "");
}

}  // namespace pompc::actor
