// The search for good action sequences. Its iterations are the same for all methods; a method says
// what elites count and what is executed, in a header that search.cc alone includes: mppi.h, cem.h.
#ifndef POMPC_MODEL_PLANNING_SEARCH_H_
#define POMPC_MODEL_PLANNING_SEARCH_H_

#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "common/base/threads.h"
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
  // The time of `clock` beyond which no iteration should last: see IterationTimer.
  absl::Duration finish_by = absl::InfiniteDuration();
  const Clock* clock = Clock::Real();
};

struct Elites {
  at::Tensor sequences;  // [S, E, H, A], the best first
  at::Tensor values;     // [S, E], descending
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

// Decides after each iteration whether there is time for another one. Without a limit it never
// reads the clock. For one thread.
class IterationTimer {
 public:
  IterationTimer(absl::Duration finish_by, const Clock* clock)
      : finish_by_(finish_by), clock_(clock), last_(Now()) {}

  // Called when an iteration has ended. False if one more that takes as long as the longest so far
  // would end after finish_by: a plan that is late is worth nothing, so the estimate is on the safe
  // side.
  bool HasTimeForAnother();

 private:
  absl::Duration Now() const {
    return finish_by_ == absl::InfiniteDuration() ? absl::ZeroDuration() : clock_->Now();
  }

  const absl::Duration finish_by_;
  const Clock* const clock_;
  absl::Duration last_;
  absl::Duration longest_;
};

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
