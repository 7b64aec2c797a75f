#ifndef POMPC_ACTOR_CORE_ENVIRONMENT_SLOT_H_
#define POMPC_ACTOR_CORE_ENVIRONMENT_SLOT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/core/mailbox.h"
#include "actor/core/plan_source.h"
#include "actor/core/row_sink.h"
#include "actor/core/seeds.h"
#include "actor/core/stats.h"
#include "actor/env/wrappers.h"
#include "common/base/check.h"
#include "common/values/number_check.h"

namespace pompc::actor {

// Makes one environment whose randomness follows from `seed`.
using EnvironmentFactory =
    std::function<absl::StatusOr<std::unique_ptr<env::FloatEnvironment>>(uint32_t seed)>;

// What came of executing one action.
struct StepOutcome {
  double reward = 0;
  bool terminated = false;
  bool truncated = false;
  // The simulation failed or gave numbers that replay takes from nobody: the step is to be
  // forgotten and the episode ends where it stood before.
  bool unstable = false;

  bool done() const { return terminated || truncated || unstable; }
  // REQUIRES: done().
  EpisodeEnd end() const {
    POMPC_CHECK(done());
    return unstable     ? EpisodeEnd::kUnstable
           : terminated ? EpisodeEnd::kTerminated
                        : EpisodeEnd::kTruncated;
  }
};

// One environment with its current episode and the buffers of its decisions, which are
// reused: after the first episode nothing here allocates. Used by one thread; while a plan is under
// way the slot must stay alive, and only the methods that say so may be called.
class EnvironmentSlot {
 public:
  // Environments get the seed of `seeds`. Plans have standard deviations in `plan_std`. Fails as
  // the factory does.
  static absl::StatusOr<std::unique_ptr<EnvironmentSlot>> Make(const EnvironmentFactory& factory,
                                                               const SeedSource& seeds,
                                                               const StdRange& plan_std = {});

  // Starts an episode. If the environment finds no valid start, it tries several times and then
  // returns the environment's error. INTERNAL if the first observation has numbers out of range
  // (common/values/number_check.h).
  absl::Status StartEpisode();

  // Returns the query for the plan of this decision. The plan counts as in flight from now on: the
  // caller must send the query, and call AcceptPlan when it is answered. Asking again for the same
  // decision gives the same query. REQUIRES: none is in flight.
  PlanQuery AskPlan(int slot);
  bool plan_under_way() const { return plan_under_way_; }
  // Takes in the plan that arrived: it becomes the action and the next warm start. `status` is that
  // of the answer; a plan of wrong sizes, or with numbers outside their range, gives INTERNAL, and
  // the decision is still to be planned.
  absl::Status AcceptPlan(const absl::Status& status);
  // Draws the action uniformly instead.
  void DrawAction();

  // Executes the action chosen. Unless unstable, the row of this decision is `row()`, and MoveOn
  // must follow. An error means that the environment was used wrongly (Environment::Step), which
  // another episode would not change.
  absl::StatusOr<StepOutcome> Step();
  // The decision just executed, borrowed from the slot. Valid after Step, before MoveOn.
  replay::RowView row() const;
  // Makes the state after the step the present one.
  void MoveOn();

  // Observation of the present state, [O].
  std::span<const float> observation() const { return observation_; }
  // Sum of rewards and number of decisions of the episode so far.
  double episode_return() const { return return_; }
  uint32_t decisions() const { return decisions_; }
  const env::EnvironmentSpec& spec() const { return environment_->spec(); }
  env::FloatEnvironment& environment() { return *environment_; }
  // Why the last step was unstable.
  const absl::Status& fault() const { return fault_; }

 private:
  EnvironmentSlot(std::unique_ptr<env::FloatEnvironment> environment, const SeedSource& seeds,
                  const StdRange& plan_std);

  const std::unique_ptr<env::FloatEnvironment> environment_;
  const StdRange plan_std_;
  const uint64_t plan_seeds_;
  std::mt19937_64 action_rng_;

  std::vector<float> observation_;
  std::vector<float> action_;
  std::vector<float> warm_start_;
  Plan plan_;
  bool plan_under_way_ = false;
  // Columns of the row that Step makes, as replay has them.
  uint8_t has_plan_ = 0;
  uint8_t terminated_ = 0;
  float reward_ = 0;
  // Decisions planned since the slot was made: numbers the plans' seeds.
  uint64_t plans_ = 0;

  double return_ = 0;
  uint32_t decisions_ = 0;
  StepOutcome outcome_;
  absl::Status fault_;
};

// Blocks until none of `slots` has a plan in flight; what arrives is thrown away. Slot i is the one
// that letters of `mailbox` call i; null ones are skipped. `letters` is the buffer to take them in.
void AwaitPlans(const std::vector<EnvironmentSlot*>& slots, Mailbox* mailbox,
                std::vector<Letter>* letters);

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_ENVIRONMENT_SLOT_H_
