#ifndef POMPC_ACTOR_ENV_TASK_H_
#define POMPC_ACTOR_ENV_TASK_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "actor/env/physics/asset_model.h"
#include "actor/env/physics/physics.h"
#include "actor/env/physics/random_state.h"

namespace pompc::env {

// What makes a physical model a task: how episodes start, what is seen and what is rewarded. The
// model's edits and the indices of its elements belong in the constructor. A domain is one file in
// tasks/, with its Task and the list of its TaskDefinitions. Used by one thread at a time.
class Task {
 public:
  virtual ~Task() = default;

  // Puts `physics`, freshly reset, into the start state of an episode. Everything that follows from
  // that state is computed afterwards. ABORTED: no start was found.
  virtual absl::Status Initialize(Physics& physics, RandomState& random) = 0;

  // Appends the observation to `out`, always as many numbers.
  virtual void Observe(const Physics& physics, std::vector<double>& out) const = 0;

  // The reward of the present state and action (data().ctrl).
  virtual double Reward(const Physics& physics) const = 0;

  // Whether the present state is terminal; only asked if the definition says `terminates`.
  virtual bool Terminated(const Physics& physics) const { return false; }

  // The position of the task's movable target inside the model: x, y, z, or empty without one.
  virtual std::span<double> Target(Physics& physics) const { return {}; }
};

// Appends `numbers` to an observation.
inline void Append(std::span<const double> numbers, std::vector<double>& out) {
  out.insert(out.end(), numbers.begin(), numbers.end());
}

struct TaskDefinition {
  // "domain-task".
  std::string name;
  // The model, as MJCF; or empty, and `asset` says which it is.
  absl::string_view mjcf = {};
  // Simulated time of a control step, and of an episode.
  double control_seconds;
  double episode_seconds;
  std::function<std::unique_ptr<Task>(Physics&)> make;
  bool terminates = false;
  AssetModel asset = {};

  bool built_in() const { return asset.file.empty(); }
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_TASK_H_
