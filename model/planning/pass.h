// Planning some states in one pass over the networks, out of ATen operations: what goes in, what is
// computed, what comes out. Thread-safe. Letters of shapes: S states, O numbers of an observation,
// A numbers of an action, H decisions.
#ifndef POMPC_MODEL_PLANNING_PASS_H_
#define POMPC_MODEL_PLANNING_PASS_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "common/base/threads.h"
#include "model/planning/plan.h"
#include "model/planning/search.h"

namespace pompc::model {

// What a pass takes in; all tensors are on one device.
struct PassInputs {
  at::Tensor observations;  // [S, O] of the model's dtype
  at::Tensor guess;         // where the search begins, [S, H, A] of the model's dtype
  at::Tensor explore;       // 1 where the action has exploration noise, else 0; [S]
  at::Tensor seeds;         // as SeedTensor, int64 [S]
  // Members of the Q ensemble that each iteration asks, as TrajectoryDraws has them, int64
  // [iterations, 2 S].
  at::Tensor members;

  // In the order above.
  std::vector<at::Tensor> Tensors() const { return {observations, guess, explore, seeds, members}; }
  static PassInputs FromTensors(const std::vector<at::Tensor>& tensors);
  PassInputs To(at::Device device) const;
  // The states [begin, begin + count).
  PassInputs States(int64_t begin, int64_t count) const;
  int64_t size() const { return seeds.size(0); }
};

// Checks that `inputs` have the shapes that a plan requires.
void CheckInputs(const proto::RunConfig& config, const PlanInputs& inputs);

// The inputs of a pass over all of `inputs`, on the CPU. REQUIRES: as Plan.
PassInputs MakePassInputs(const WorldModel& model, const proto::RunConfig& config,
                          const PlanInputs& inputs);

// The search from these states, on the device on which all is, as PlanPass makes it.
SearchResult SearchPass(const WorldModel& model, const proto::RunConfig& config,
                        const PassInputs& inputs, absl::Duration finish_by, const Clock* clock);

// Plans the states, on the device on which all is: [S, 3 A + 1 + H A] of the model's dtype, to be
// unpacked. With a limit of time the number of iterations goes to *iterations. Without, the
// operations follow from the shapes and the config alone, and read no number back to the host.
at::Tensor PlanPass(const WorldModel& model, const proto::RunConfig& config,
                    const PassInputs& inputs, absl::Duration finish_by, const Clock* clock,
                    int* iterations);

// Writes what PlanPass gave, on the CPU, to the plans [begin, begin + S).
void Unpack(const at::Tensor& packed, int64_t begin, const Plans& plans);

// Plans without numbers yet, on the CPU.
Plans EmptyPlans(const proto::RunConfig& config, int64_t batch);

// When the first of the plans [begin, begin + count) should be there.
absl::Duration EarliestEnd(const PlanInputs& inputs, int64_t begin, int64_t count);

// 1 where the plan has exploration noise, else 0, [B] on the CPU.
at::Tensor ExploringStates(const PlanInputs& inputs);

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_PASS_H_
