// The losses of one update once more, in plain C++ and float64: written from docs/algorithm.md, row
// by row, sharing neither LibTorch's operations nor the project's with what it checks.
#ifndef POMPC_TESTS_LEARNER_UPDATE_REFERENCE_UPDATE_H_
#define POMPC_TESTS_LEARNER_UPDATE_REFERENCE_UPDATE_H_

#include <array>
#include <map>
#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace pompc::update::reference {

using Row = std::vector<double>;

struct Array {
  std::vector<int64_t> shape;
  std::vector<double> data;
};
// The tensors by name, as Updater::Export gives them.
using Parameters = std::map<std::string, Array>;

// One window, H decisions.
struct Window {
  std::vector<Row> observations;         // H + 1
  std::vector<Row> actions;              // H
  std::vector<double> rewards;           // H
  std::vector<bool> terminated;          // H
  std::vector<Row> plan_mean, plan_std;  // H + 1
  std::vector<bool> has_plan;            // H + 1
  double plan_age = 0;                   // of all its plans, in versions
};

// What the update drew, row t B + b for step t of window b; target_noise holds its last rows if it
// is shorter. Dropout multipliers are by member, row and unit; empty: none.
struct Draws {
  std::vector<Row> target_noise, policy_noise, prior_noise;
  std::array<int, 2> target_members{}, policy_members{};
  std::vector<std::vector<Row>> fit_dropout, policy_dropout;
};

struct Update {
  proto::RunConfig config;
  std::vector<Window> windows;
  Draws draws;
  bool prior_trained = false;
  // Everything before the update; the values after their step, which the policy's loss looks at.
  Parameters before, after;
};

struct Losses {
  double total = 0;  // of model and values
  double prior = 0;  // 0 without a learned prior
  double policy = 0;
  double value_scale = 0;
  double kl_scale = 0;
};

Losses ComputeLosses(const Update& update);

}  // namespace pompc::update::reference

#endif  // POMPC_TESTS_LEARNER_UPDATE_REFERENCE_UPDATE_H_
