#include "model/planning/trajectories.h"

#include "common/base/check.h"
#include "model/ops.h"

namespace pompc::model {
namespace {

// Actions of the policy at latents [rows, L] for noise [rows, A].
at::Tensor Act(const WorldModel& model, const at::Tensor& latents, const at::Tensor& noise) {
  return SampleActions(model.Policy(latents), noise, model.config().model().policy_form());
}

// Mean of two members of the plain ensemble, of state values or at the policy's action, [S * N],
// from latents of that many rows.
at::Tensor TerminalValue(const WorldModel& model, const at::Tensor& z,
                         const TrajectoryDraws& draws) {
  const int64_t states = draws.noise.size(0);
  const int64_t rows = draws.noise.size(1);
  const Bins bins = BinsOf(model.config().model());
  const at::Tensor input =
      model.HasStateValues() ? z : at::cat({z, Act(model, z, draws.noise.flatten(0, 1))}, -1);
  if (model.config().model().num_q() == 2)
    return TwoHotDecode(model.q().Forward(input), bins).mean(0);
  POMPC_CHECK(draws.members.sizes() == at::IntArrayRef({2 * states}), "a pair for each state");
  // Each state has a pair of its own, so the ensemble sees one block of rows for each (state,
  // member) and takes that member's weights for it.
  Mlp::Options options;
  options.members = draws.members;
  const at::Tensor blocks = input.view({states, 1, rows, -1})
                                .expand({states, 2, rows, input.size(1)})
                                .reshape({2 * states, rows, -1});
  const at::Tensor values = TwoHotDecode(model.q().Forward(blocks, options), bins);
  return values.view({states, 2, rows}).mean(1).flatten();
}

}  // namespace

at::Tensor TrajectoryValues(const WorldModel& model, double discount, const at::Tensor& latents,
                            const at::Tensor& sequences, const TrajectoryDraws& draws) {
  const Bins bins = BinsOf(model.config().model());
  const bool terminates = model.config().env().spec().terminates();
  const int64_t actions = sequences.size(3);
  POMPC_CHECK_GE(sequences.size(2), 1, "a sequence has a decision");
  POMPC_CHECK_EQ(latents.size(0), sequences.size(0));
  POMPC_CHECK(draws.noise.size(0) == sequences.size(0) && draws.noise.size(1) == sequences.size(1),
              "noise for these sequences");
  at::Tensor z;
  at::Tensor total, alive;
  double weight = 1;
  for (int64_t t = 0; t < sequences.size(2); ++t) {
    const at::Tensor action = sequences.select(2, t).reshape({-1, actions});
    // The sequences of a state begin at the same latent.
    if (t == 0) z = RepeatRows(latents, sequences.size(1));
    const at::Tensor input = at::cat({z, action}, -1);
    at::Tensor reward = TwoHotDecode(model.reward().Forward(input), bins);
    if (alive.defined()) reward = reward * alive;
    total = total.defined() ? at::add(total, reward, weight) : reward;
    z = model.dynamics().Forward(input);
    weight *= discount;
    if (terminates) {
      // A logit of 0 is a probability of one half. Once dead a sequence stays dead.
      const at::Tensor goes_on = model.TerminationLogits(z).le(0).to(z.scalar_type());
      alive = alive.defined() ? alive * goes_on : goes_on;
    }
  }
  at::Tensor last = TerminalValue(model, z, draws);
  if (alive.defined()) last = last * alive;
  return at::add(total, last, weight).view({sequences.size(0), sequences.size(1)});
}

at::Tensor PolicySequences(const WorldModel& model, const at::Tensor& latents,
                           const at::Tensor& noise) {
  const int64_t states = noise.size(0), count = noise.size(1), horizon = noise.size(2);
  const int64_t actions = noise.size(3);
  POMPC_CHECK_EQ(latents.size(0), states);
  // The sequences of a state begin at the same latent, and the last action needs no next state.
  const Gaussian first = model.Policy(latents);
  std::vector<at::Tensor> steps = {
      SampleActions({first.mean.unsqueeze(1), first.log_std.unsqueeze(1)}, noise.select(2, 0),
                    model.config().model().policy_form())};
  at::Tensor z;
  for (int64_t t = 1; t < horizon; ++t) {
    const at::Tensor before = steps.back().reshape({-1, actions});
    z = model.Next(t == 1 ? RepeatRows(latents, count) : z, before);
    const at::Tensor action = Act(model, z, noise.select(2, t).reshape({-1, actions}));
    steps.push_back(action.view({states, count, actions}));
  }
  return at::stack(steps, 2);
}

}  // namespace pompc::model
