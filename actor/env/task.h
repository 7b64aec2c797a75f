#ifndef POMPC_ACTOR_ENV_TASK_H_
#define POMPC_ACTOR_ENV_TASK_H_

#include <functional>
#include <limits>
#include <memory>
#include <numbers>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "actor/env/physics/asset_model.h"
#include "actor/env/physics/physics.h"
#include "actor/env/physics/random_state.h"

namespace pompc::env {

// What makes a physical model a task: how episodes start, what is observed and what is rewarded.
// The constructor edits the model and looks up the indices of its elements. A domain is one file in
// tasks/, with its Task and the list of its TaskDefinitions. Used by one thread at a time.
class Task {
 public:
  virtual ~Task() = default;

  // Puts `physics`, which was just reset, into the start state of an episode. Everything that
  // follows from that state is computed afterwards. Returns ABORTED if no start was found.
  virtual absl::Status Initialize(Physics& physics, RandomState& random) = 0;

  // Appends the observation to `out`, the same number of numbers each time.
  virtual void Observe(const Physics& physics, std::vector<double>& out) const = 0;

  // Returns the reward of the present state and action (data().ctrl).
  virtual double Reward(const Physics& physics) const = 0;

  // Returns whether the present state is terminal. It is called only if the definition sets
  // `terminates`.
  virtual bool Terminated(const Physics& physics) const { return false; }

  // Returns the position of the task's movable target in the model, x, y and z, or an empty span if
  // the task has none.
  virtual std::span<double> Target(Physics& physics) const { return {}; }
};

// Appends `numbers` to an observation.
inline void Append(std::span<const double> numbers, std::vector<double>& out) {
  out.insert(out.end(), numbers.begin(), numbers.end());
}

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kPi = std::numbers::pi;

// The curve along which a reward falls outside its bounds.
enum class Sigmoid {
  kGaussian,
  kHyperbolic,
  kLongTail,
  kReciprocal,
  kCosine,
  kLinear,
  kQuadratic,
  kTanhSquared,
};

// A reward in [0, 1] for a number that should lie in [low, high]. It is 1 there; outside, it falls
// along `sigmoid` and is `value_at_margin` at the distance `margin`. With a margin of 0 it falls to
// 0 at once.
struct Tolerance {
  double low = 0;
  double high = 0;
  double margin = 0;
  Sigmoid sigmoid = Sigmoid::kGaussian;
  // A number in (0, 1), or 0 for kCosine, kLinear and kQuadratic, which reach zero.
  double value_at_margin = 0.1;

  // Returns the reward for `x`. REQUIRES: low <= high and margin >= 0.
  double operator()(double x) const;
};

// The reward for a number that should be at least `low`: below, it falls linearly to
// `value_at_margin` at the distance `margin`.
constexpr Tolerance AtLeast(double low, double margin, double value_at_margin) {
  return {.low = low,
          .high = kInfinity,
          .margin = margin,
          .sigmoid = Sigmoid::kLinear,
          .value_at_margin = value_at_margin};
}

// The reward for weak actuation, in [0.8, 1]: 1 when all controls are 0.
double SmallControl(const Physics& physics);

struct TaskDefinition {
  // The task's name, "domain-task".
  std::string name;
  // The model as MJCF. If it is empty, the model is a file that `asset` names.
  absl::string_view mjcf = {};
  // Simulated times of a control step and of an episode.
  double control_seconds;
  double episode_seconds;
  std::function<std::unique_ptr<Task>(Physics&)> make;
  bool terminates = false;
  AssetModel asset = {};

  bool built_in() const { return asset.file.empty(); }
};

// What the built-in tasks of a domain have in common: their model, and their times as in
// TaskDefinition.
struct Domain {
  absl::string_view mjcf;
  double control_seconds;
  double episode_seconds;

  // Returns the definition of a task whose Task is made as T(physics, arguments...).
  template <typename T, typename... Arguments>
  TaskDefinition Define(std::string name, Arguments... arguments) const {
    return {.name = std::move(name),
            .mjcf = mjcf,
            .control_seconds = control_seconds,
            .episode_seconds = episode_seconds,
            .make = [=](Physics& physics) { return std::make_unique<T>(physics, arguments...); }};
  }
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_TASK_H_
