// Targets of the value functions, from the rewards of a window and values at its later states.
#ifndef POMPC_LEARNER_UPDATE_TARGETS_H_
#define POMPC_LEARNER_UPDATE_TARGETS_H_

#include "model/torch_compat.h"

namespace pompc::update {

// H decisions in B windows, time first. Step t goes from state t to state t+1.
struct WindowRewards {
  at::Tensor rewards;     // [H, B]
  at::Tensor terminated;  // [H, B], 1 where state t+1 is terminal, else 0
  // What is taken off the value of state t+1, t = 0..H-1: lambda KL(policy || prior) there. [H, B],
  // or undefined: 0.
  at::Tensor penalties;
  double discount = 0;
};

// y_t = r_t + gamma (1 - d_t) (V(s_{t+1}) - penalty_t), from next_values [H, B].
at::Tensor OneStepTargets(const WindowRewards& window, const at::Tensor& next_values);

// The same recursion with y_{t+1} for V(s_{t+1}), from last_values [B] at the window's last state:
// the window's remaining discounted rewards and penalties, everything after a terminal state cut
// off, and a bootstrap at the end.
at::Tensor WindowEndTargets(const WindowRewards& window, const at::Tensor& last_values);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_TARGETS_H_
