#ifndef POMPC_ACTOR_ENV_ENVIRONMENT_H_
#define POMPC_ACTOR_ENV_ENVIRONMENT_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::env {

class Physics;

// The sizes and times of an environment, which are constant over its life.
struct EnvironmentSpec {
  std::string task;
  int observation_size = 0;
  int action_size = 0;
  // Bounds of each entry of an action, action_size numbers each.
  std::vector<double> action_low;
  std::vector<double> action_high;
  // The longest episode in calls of Step, and the simulated time of one call in seconds.
  int episode_steps = 0;
  double step_seconds = 0;
  // True if an episode can end by reaching a terminal state, beside its time limit.
  bool terminates = false;
};

struct StepResult {
  double reward = 0;
  // A terminal state was reached: the value of what follows is 0.
  bool terminated = false;
  // The episode was cut, by the time limit or because the simulation failed; the state itself is
  // not terminal.
  bool truncated = false;
  // The simulation failed (see Environment::fault); this implies `truncated`.
  bool unstable = false;

  bool done() const { return terminated || truncated; }
};

// One simulated world that is stepped by actions. No number that it returns is ever NaN, infinite
// or larger in magnitude than kMaxMagnitude (common/values/number_check.h).
//
// Used by one thread at a time; different environments are independent. Nothing blocks; after the
// first episode, Step does not allocate memory unless the simulation fails.
class Environment {
 public:
  virtual ~Environment() = default;

  virtual const EnvironmentSpec& spec() const = 0;

  // Starts an episode. The environment's random generator, seeded once when it was made, is
  // not seeded again. Returns ABORTED if no valid start was found; Reset may be tried again.
  virtual absl::Status Reset() = 0;

  // Advances by one step under `action`, spec().action_size numbers within the bounds (MuJoCo
  // clamps what exceeds them). Returns INVALID_ARGUMENT, with nothing changed, for a wrong size,
  // NaN or infinity, and FAILED_PRECONDITION if no episode is running (Reset was not called, or the
  // last step ended the episode). If the simulation fails, the result is `unstable` with reward 0,
  // and the observation remains the last valid one.
  virtual absl::StatusOr<StepResult> Step(std::span<const double> action) = 0;

  // Returns the current observation, spec().observation_size numbers, valid until the next call of
  // a non-const method.
  virtual std::span<const double> observation() const = 0;

  // Returns why the last step was unstable, or OK if it was not.
  virtual const absl::Status& fault() const = 0;

  // Returns the simulated world, which the environment owns, for a Renderer; null if MuJoCo does
  // not simulate it.
  virtual Physics* world() { return nullptr; }
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_ENVIRONMENT_H_
