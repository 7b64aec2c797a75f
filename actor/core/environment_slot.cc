#include "actor/core/environment_slot.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::actor {
namespace {

constexpr int kResetTries = 20;

absl::Status CheckPlan(const Plan& plan, const StdRange& plan_std) {
  // An action that is too large is clamped, as an actuator would.
  POMPC_RETURN_IF_ERROR(CheckMagnitudes("action", plan.action));
  POMPC_RETURN_IF_ERROR(CheckActions("mean", plan.mean));
  POMPC_RETURN_IF_ERROR(CheckStds("std", plan_std, plan.std));
  POMPC_RETURN_IF_ERROR(CheckActions("warm start", plan.warm_start));
  return CheckMagnitudes("value", {&plan.value, 1});
}

// Environments may break what Environment promises, and rewards that are summed may grow too large.
absl::Status CheckStep(double reward, std::span<const float> observation) {
  if (!IsMagnitude(reward)) {
    return absl::InternalError(absl::StrCat("the reward is ", reward, ", must be at most ",
                                            kMaxMagnitude, " in magnitude"));
  }
  return CheckMagnitudes("observation", observation);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EnvironmentSlot>> EnvironmentSlot::Make(
    const EnvironmentFactory& factory, const SeedSource& seeds, const StdRange& plan_std) {
  POMPC_ASSIGN_OR_RETURN(auto environment,
                         factory(static_cast<uint32_t>(seeds.For(SeedUse::kEnvironment))));
  return std::unique_ptr<EnvironmentSlot>(
      new EnvironmentSlot(std::move(environment), seeds, plan_std));
}

EnvironmentSlot::EnvironmentSlot(std::unique_ptr<env::FloatEnvironment> environment,
                                 const SeedSource& seeds, const StdRange& plan_std)
    : environment_(std::move(environment)),
      plan_std_(plan_std),
      plan_seeds_(seeds.For(SeedUse::kPlans)),
      action_rng_(seeds.For(SeedUse::kRandomActions)),
      observation_(environment_->spec().observation_size),
      action_(environment_->spec().action_size) {}

absl::Status EnvironmentSlot::StartEpisode() {
  absl::Status status;
  for (int i = 0; i < kResetTries; ++i) {
    status = environment_->Reset();
    // ABORTED means that no valid start was drawn; the next Reset draws another one. Other errors
    // would come again.
    if (!absl::IsAborted(status)) break;
  }
  POMPC_RETURN_IF_ERROR(Annotate(status, environment_->spec().task));
  const std::span<const float> observation = environment_->observation();
  if (const absl::Status bad = CheckMagnitudes("first observation", observation); !bad.ok()) {
    return absl::InternalError(absl::StrCat(environment_->spec().task, ": ", bad.message()));
  }
  std::copy(observation.begin(), observation.end(), observation_.begin());
  // The last plan of another episode says nothing about the first state of this one.
  warm_start_.clear();
  return_ = 0;
  decisions_ = 0;
  return absl::OkStatus();
}

PlanQuery EnvironmentSlot::AskPlan(int slot) {
  POMPC_CHECK(!plan_under_way_);
  plan_under_way_ = true;
  return {.slot = slot,
          .observation = observation_,
          .warm_start = warm_start_,
          .seed = MixSeeds({plan_seeds_, plans_}),
          .plan = &plan_};
}

absl::Status EnvironmentSlot::AcceptPlan(const absl::Status& status) {
  POMPC_CHECK(plan_under_way_, "nobody has asked for this plan");
  // Whatever the answer was, nobody writes into plan_ any more: the query may be sent again.
  plan_under_way_ = false;
  POMPC_RETURN_IF_ERROR(status);
  // A planner is another process: nothing of its answer is used before sizes and ranges are
  // checked, and a bad answer is asked for again like a missing one.
  const size_t a = action_.size();
  if (plan_.action.size() != a || plan_.mean.size() != a || plan_.std.size() != a ||
      plan_.warm_start.empty() || plan_.warm_start.size() % a != 0) {
    return absl::InternalError(
        absl::StrCat("planner sent a plan of the wrong size: action ", plan_.action.size(),
                     ", mean ", plan_.mean.size(), ", std ", plan_.std.size(), ", warm start ",
                     plan_.warm_start.size(), " numbers for an action size of ", a));
  }
  if (const absl::Status bad = CheckPlan(plan_, plan_std_); !bad.ok()) {
    return absl::InternalError(absl::StrCat("planner sent a plan whose ", bad.message()));
  }
  for (size_t i = 0; i < a; ++i) action_[i] = std::clamp(plan_.action[i], -1.0f, 1.0f);
  // Exchanged, not copied: the next plan is written where the last warm start stood.
  warm_start_.swap(plan_.warm_start);
  has_plan_ = 1;
  ++plans_;
  return absl::OkStatus();
}

void EnvironmentSlot::DrawAction() {
  UniformAction(&action_rng_, action_);
  has_plan_ = 0;
}

absl::StatusOr<StepOutcome> EnvironmentSlot::Step() {
  POMPC_CHECK(!plan_under_way_);
  outcome_ = StepOutcome{};
  const absl::StatusOr<env::StepResult> result = environment_->Step(action_);
  if (!result.ok()) return Annotate(result.status(), environment_->spec().task);
  // Numbers out of range count as a failed simulation. Replay would refuse the row, and another
  // episode may not have such numbers.
  if (result->unstable) {
    fault_ = environment_->fault();
    outcome_.unstable = true;
  } else if (absl::Status bad = CheckStep(result->reward, environment_->observation()); !bad.ok()) {
    fault_ = std::move(bad);
    outcome_.unstable = true;
  } else {
    outcome_.reward = result->reward;
    outcome_.terminated = result->terminated;
    outcome_.truncated = result->truncated;
  }
  reward_ = static_cast<float>(outcome_.reward);
  terminated_ = outcome_.terminated ? 1 : 0;
  return outcome_;
}

replay::RowView EnvironmentSlot::row() const {
  replay::RowView row;
  row.Set<float>("observations", observation_);
  row.Set<float>("actions", action_);
  row.Set<float>("rewards", reward_);
  row.Set<uint8_t>("terminated", terminated_);
  // A random row has no columns of a plan; where rows are gathered in chunks, fillers take their
  // place (Outbox::Append).
  if (has_plan_ == 0) return row;
  row.Set<uint8_t>("has_plan", has_plan_);
  row.Set<float>("plan_mean", plan_.mean);
  row.Set<float>("plan_std", plan_.std);
  row.Set<float>("plan_value", plan_.value);
  row.Set<ParameterVersion>("versions", plan_.version);
  return row;
}

void EnvironmentSlot::MoveOn() {
  return_ += outcome_.reward;
  ++decisions_;
  const std::span<const float> next = environment_->observation();
  std::copy(next.begin(), next.end(), observation_.begin());
}

void AwaitPlans(const std::vector<EnvironmentSlot*>& slots, Mailbox* mailbox,
                std::vector<Letter>* letters) {
  for (const EnvironmentSlot* awaited : slots) {
    while (awaited != nullptr && awaited->plan_under_way()) {
      // No deadline is needed: a plan source answers every query, at the latest when its own time
      // limit is over.
      mailbox->Take(absl::InfiniteDuration(), letters);
      for (const Letter& letter : *letters) {
        if (letter.plan_done) slots[letter.slot]->AcceptPlan(letter.plan_status).IgnoreError();
      }
    }
  }
}

}  // namespace pompc::actor
