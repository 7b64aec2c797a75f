// Planning in the latent space of a world model, batched over states. planner.method chooses how
// good action sequences are searched for; what surrounds the search is the same for all methods.
#ifndef POMPC_MODEL_PLANNING_PLAN_H_
#define POMPC_MODEL_PLANNING_PLAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/base/threads.h"
#include "model/world_model.h"

namespace pompc::model {

class CpuPlanner;

// B requests; tensors are float32, on any device. O, A, H: observation size, action size, horizon.
struct PlanInputs {
  at::Tensor observations;  // [B, O]
  // Means of the previous plans as they came back, [B, H, A]; Plan shifts them by one decision.
  // Undefined: none.
  at::Tensor warm_start;
  // Which rows of warm_start are used, [B]. For the others, at the start of an episode, the search
  // starts at zero. If it is empty, all are used, provided that warm_start is defined.
  std::vector<bool> has_warm_start;
  // All randomness of plan b follows from seeds[b]. [B]
  std::vector<uint64_t> seeds;
  // Which plans are made without exploration noise, [B]; if it is empty, none.
  std::vector<bool> evaluate;
  // The number of states that are planned in one pass over the networks. The value 0 means all at
  // once on a GPU and one at a time on a CPU, where one state is work enough for a pass, and a plan
  // is then independent of its batch to the last bit.
  int64_t states_per_pass = 0;
  // When each plan should be there at the latest, in times of `clock`, [B]; if it is empty, plans
  // have the time they need. A plan that would be late makes fewer iterations than
  // planner.iterations, but one at least: after each it stops if another that takes as long as its
  // longest so far would end too late. States planned in one pass stop by their earliest time.
  std::vector<absl::Duration> finish_by;
  const Clock* clock = Clock::Real();
};

// float32 on the CPU.
struct Plans {
  at::Tensor actions;  // [B, A] in [-1, 1]: what to execute
  // The Gaussian of the first decision for a policy to follow, which planner.statistic defines.
  // [B, A]; std is in [min_std, max_std], for BEST at least 1e-3.
  at::Tensor mean, std;
  at::Tensor value;       // [B]: the method's estimate of what the plan is worth
  at::Tensor warm_start;  // [B, H, A]: mean of the whole plan, unshifted
  // The iterations that each plan's search made, [B].
  std::vector<int> iterations;
};

// Plans with one state of a model's parameters. Thread-safe. REQUIRES: `config` is one that
// config::Derive made, for this model; the parameters do not change while the object lives.
class Planner {
 public:
  // On a CPU the parameters are packed for the kernels once, here (planning/cpu_planner.h), about
  // as much work as copying them, and the model is not held. Where the kernels cannot compute it,
  // and in a ReferenceScope, the planner holds it and plans by tensor operations.
  Planner(WorldModel model, proto::RunConfig config);
  ~Planner();
  Planner(const Planner&) = delete;
  Planner& operator=(const Planner&) = delete;

  // Plans B decisions. Builds no graph; blocks the calling thread while it computes. Plan b depends
  // on request b, and on the others only through the order of floating-point sums (not even that on
  // a CPU with states_per_pass 0). A NaN value of a sequence counts as 0. REQUIRES: shapes as
  // above; states_per_pass is 0 or 1 where the parameters are packed.
  Plans Plan(const PlanInputs& inputs) const;

 private:
  const proto::RunConfig config_;
  // nullptr where tensor operations make the plans.
  const std::unique_ptr<const CpuPlanner> cpu_planner_;
  // What they make them with.
  const std::optional<const WorldModel> model_;
};

// The plans of a Planner that is made for them alone, with any number of states in a pass.
Plans Plan(const WorldModel& model, const proto::RunConfig& config, const PlanInputs& inputs);

// Acts without planning: the action is the policy's mean where the request evaluates, otherwise a
// draw from the policy. Mean and std are the policy's, the value is that of the mean action,
// the warm start is all zeros, and no search iterates. REQUIRES: as Planner.
Plans ActByPolicy(const WorldModel& model, const proto::RunConfig& config,
                  const PlanInputs& inputs);

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_PLAN_H_
