// The search for good action sequences. Its iterations are the same for all methods; a method says
// what elites count and what is executed, in a header of its own that methods.h lists: mppi.h,
// cem.h. It says so twice: for tensors of many states, and for one state's numbers, as
// cpu_planner.h searches.
#ifndef POMPC_MODEL_PLANNING_SEARCH_H_
#define POMPC_MODEL_PLANNING_SEARCH_H_

#include <algorithm>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "model/kernels/gemm.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::model {

// Names of the random streams of one plan; the index counts iterations where there are several. A
// method that needs random numbers for a new purpose adds a name, so that the other draws stay the
// same.
enum PlanStream : uint32_t {
  kPolicySequences = 1,
  kSamples = 2,
  kTerminalAction = 3,
  kQMembers = 4,
  kEliteChoice = 5,
  kExploration = 6,
};

// The search for good action sequences from S states. Letters of shapes: S states, N sequences, H
// decisions, A numbers of an action, E elites. Tensors have one device and dtype: those of `guess`.
struct SearchProblem {
  const proto::PlannerConfig& settings;
  // All randomness of state s follows from seeds[s], as SeedTensor has them: int64 [S].
  at::Tensor seeds;
  // The sequences at which the search starts, [S, H, A].
  at::Tensor guess;
  // The policy's sequences [S, policy_samples, H, A], among the candidates of every iteration;
  // undefined: none.
  at::Tensor policy_sequences;
  // Values [S, N] of sequences [S, N, H, A]; NaN where the model overflows. Those of different
  // iterations have different terminal actions and Q members.
  std::function<at::Tensor(const at::Tensor& sequences, int iteration)> values;
  // The time of `clock` beyond which no iteration should last: see Iterate.
  absl::Duration finish_by = absl::InfiniteDuration();
  const Clock* clock = Clock::Real();
};

struct Elites {
  at::Tensor sequences;  // [S, E, H, A], the best first
  at::Tensor values;     // [S, E], descending
  at::Tensor numbers;    // [S, E], int64: which candidates they were
};

struct SearchResult {
  at::Tensor mean, std;  // [S, H, A]: the last Gaussian
  Elites elites;         // of the last iteration
  at::Tensor weights;    // [S, E]: what the elites count in the Gaussian; they sum to 1
  at::Tensor action;     // [S, A]: what to execute, before exploration noise
  at::Tensor value;      // [S]: what the plan is worth
  int iterations = 0;    // that were made
};

// What a method makes of a search that is over: SearchResult's action and value.
struct Choice {
  at::Tensor action, value;
};

// One state's search that is over, in plain numbers, and what a method makes of it.
struct FlatSearch {
  const proto::PlannerConfig& settings;
  int64_t elites;
  const float* values;               // [E], descending
  const float* weights;              // [E]
  kernels::RowsOf<float> sequences;  // [E, H A], the best first
  const float* mean;                 // [H A]
  const float* uniform;              // [E]: draws in [0, 1) of kEliteChoice
};
struct FlatChoice {
  const float* action;  // [A], in the search
  float value;
};

// Calls step(i) for i = 0, 1, ... at most settings.iterations times, at least once, and returns how
// often. It stops if a step that takes as long as the longest so far would end after `finish_by`: a
// plan that is late is worth nothing, so the estimate is on the safe side. Without a limit the
// clock is not read. REQUIRES: a config that config::Derive made.
template <typename Step>
int Iterate(const proto::PlannerConfig& settings, absl::Duration finish_by, const Clock* clock,
            const Step& step) {
  POMPC_CHECK_GE(settings.iterations(), 1u, "a config that Derive made");
  const bool limited = finish_by != absl::InfiniteDuration();
  absl::Duration last = limited ? clock->Now() : absl::ZeroDuration();
  absl::Duration longest;
  for (int made = 0;;) {
    step(made);
    if (++made == static_cast<int>(settings.iterations())) return made;
    if (!limited) continue;
    const absl::Duration now = clock->Now();
    longest = std::max(longest, now - last);
    last = now;
    if (now + longest > finish_by) return made;
  }
}

// Standard normal numbers [S, shape...] of the problem's dtype, on its device.
at::Tensor Draw(const SearchProblem& problem, PlanStream stream, int index, at::IntArrayRef shape);

// One iteration's best `settings.elites` of `settings.samples` candidates: the policy's sequences,
// then draws from N(mean, std), clamped to [-1, 1]. mean and std are [S, H, A].
Elites DrawElites(const SearchProblem& problem, const at::Tensor& mean, const at::Tensor& std,
                  int iteration);

// Iterates settings.iterations times, or fewer if time runs out, but at least once, by
// settings.method. REQUIRES: a config that config::Derive made.
SearchResult Search(const SearchProblem& problem);

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_SEARCH_H_
