#ifndef POMPC_CLI_SWEEP_PLAN_H_
#define POMPC_CLI_SWEEP_PLAN_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/config.pb.h"
#include "proto/sweep.pb.h"

namespace pompc::cli {

// What a sweep file asks for: its trials with their configs, in the order in which they are made.
// Pure functions of the file, its presets and its seed of draws.

// Names one trial.
struct TrialKey {
  std::string setting;
  std::string task;
  uint64_t seed = 0;

  auto operator<=>(const TrialKey&) const = default;
  // "lambda=0.1, cartpole-swingup, seed 3".
  std::string ToString() const;
  // "lambda=0.1/cartpole-swingup/seed-3".
  std::string Folder() const;
};

struct Trial {
  TrialKey key;
  // Places in the lists of the plan.
  size_t setting = 0;
  size_t task = 0;
  size_t seed = 0;
  // The complete config of its run, env.spec included.
  proto::RunConfig config;
};

struct PlannedSetting {
  std::string name;
  // The flags of pompc train that make its config, without task and seed, as a shell takes them.
  std::string flags;
  // True if successive halving lets it go on whatever its rank is.
  bool pinned = false;
};

// Returns that count as the scores 0 and 1.
struct ScoreRange {
  double zero = 0;
  double one = 1000;
};

struct SweepPlan {
  proto::SweepConfig sweep;
  std::vector<PlannedSetting> settings;
  std::vector<std::string> tasks;
  // The range of each task.
  std::vector<ScoreRange> scores;
  std::vector<uint64_t> seeds;
  // Seed by seed, so that an unfinished sweep compares all settings; for each seed task by task.
  std::vector<Trial> trials;

  // The score of a return on the task of this place.
  double Score(size_t task, double return_mean) const;
};

// The most trials of a sweep; more would be a slip of the fingers, and fill the memory.
inline constexpr size_t kMostTrials = 10'000;

// Reads a sweep file and makes every config of it. Errors name the file and the place in it:
// INVALID_ARGUMENT for bad content, with the allowed values; NOT_FOUND for files, presets and tasks
// that do not exist. Paths of files in it become absolute, so that `plan.sweep` means the same from
// anywhere.
absl::StatusOr<SweepPlan> ReadSweepFile(const std::string& path);

// The same of a text. `folder` is where relative paths in it begin; errors call it `file`.
// REQUIRES: `file` is not empty.
absl::StatusOr<SweepPlan> ParseSweep(const std::string& text, absl::string_view file,
                                     const std::string& folder);

// Reads "1-5,8": numbers and ranges, each number once, at most kMostTrials. INVALID_ARGUMENT quotes
// what is wrong.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(absl::string_view text);

// The most trials that can come of the plan: with successive halving fewer than plan.trials.
size_t MostTrials(const SweepPlan& plan);

// The settings of `count` that go on after a round because of their rank; pinned ones come on top.
size_t KeptOf(const proto::SweepHalving& halving, size_t count);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_PLAN_H_
