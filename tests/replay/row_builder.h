#ifndef POMPC_TESTS_REPLAY_ROW_BUILDER_H_
#define POMPC_TESTS_REPLAY_ROW_BUILDER_H_

#include <cstdint>
#include <vector>

#include "replay/core/row.h"

namespace pompc::replay {

// Columns of rows that can be recognised: every number of row `id` follows from `id`.
class RowBuilder {
 public:
  explicit RowBuilder(const RowSpec& spec) : spec_(spec) {}

  static float Observation(uint64_t id, size_t j) { return static_cast<float>(id) + 0.125f * j; }
  static float Action(uint64_t id, size_t j) { return static_cast<float>((id + j) % 9) / 8; }
  static float Reward(uint64_t id) { return -static_cast<float>(id); }
  static float PlanMean(uint64_t id, size_t j) {
    return static_cast<float>((id + 512 * j) % 1024) / 1024;
  }
  static float PlanStd(uint64_t id, size_t j) { return static_cast<float>(id % 5) + 0.5f + j; }

  // One more row. Without a plan: mean 0, std 1.
  RowBuilder& Add(uint64_t id, bool has_plan = true) {
    for (size_t j = 0; j < spec_.observation_size; ++j) {
      observations_.push_back(Observation(id, j));
    }
    for (size_t j = 0; j < spec_.action_size; ++j) {
      actions_.push_back(Action(id, j));
      plan_mean_.push_back(has_plan ? PlanMean(id, j) : 0);
      plan_std_.push_back(has_plan ? PlanStd(id, j) : 1);
    }
    rewards_.push_back(Reward(id));
    terminated_.push_back(0);
    plan_value_.push_back(has_plan ? static_cast<float>(id) : 0);
    has_plan_.push_back(has_plan);
    versions_.push_back(has_plan ? ParameterVersion{1, id + 1} : ParameterVersion());
    return *this;
  }

  // Rows with ids first .. first+n-1.
  RowBuilder& AddMany(uint64_t first, uint32_t n, bool has_plan = true) {
    for (uint32_t i = 0; i < n; ++i) Add(first + i, has_plan);
    return *this;
  }

  // The row added last led to a terminal state.
  RowBuilder& Terminal() {
    terminated_.back() = 1;
    return *this;
  }

  RowBuilder& Final(uint64_t id) {
    final_.clear();
    for (size_t j = 0; j < spec_.observation_size; ++j) final_.push_back(Observation(id, j));
    return *this;
  }

  // Borrows from the builder.
  RowView View() const {
    RowView view;
    view.count = static_cast<uint32_t>(rewards_.size());
    view.Set<float>("observations", observations_);
    view.Set<float>("actions", actions_);
    view.Set<float>("rewards", rewards_);
    view.Set<uint8_t>("terminated", terminated_);
    view.Set<uint8_t>("has_plan", has_plan_);
    view.Set<float>("plan_mean", plan_mean_);
    view.Set<float>("plan_std", plan_std_);
    view.Set<float>("plan_value", plan_value_);
    view.Set<ParameterVersion>("versions", versions_);
    view.final_observation = final_;
    return view;
  }

  // The only row as environments give it: without the columns of a plan that it does not have.
  RowView Single() const {
    RowView view = View();
    if (has_plan_[0]) return view;
    for (size_t c = 0; c < kRowColumns; ++c) {
      if (kColumns[c].of_plan) view.columns[c] = {};
    }
    return view;
  }

  // To be spoiled by a test.
  std::vector<float> observations_, actions_, rewards_, plan_mean_, plan_std_, plan_value_, final_;
  std::vector<uint8_t> terminated_, has_plan_;
  std::vector<ParameterVersion> versions_;

 private:
  RowSpec spec_;
};

// Room for `count` sampled windows.
class WindowBuffer {
 public:
  WindowBuffer(const RowSpec& spec, uint32_t horizon, size_t count)
      : count(static_cast<uint32_t>(count)),
        observations(count * (horizon + 1) * spec.observation_size),
        actions(count * horizon * spec.action_size),
        rewards(count * horizon),
        plan_mean(count * (horizon + 1) * spec.action_size),
        plan_std(count * (horizon + 1) * spec.action_size),
        terminated(count * horizon),
        has_plan(count * (horizon + 1)),
        addresses(count * (horizon + 1)),
        draws(count),
        probabilities(count),
        versions(count) {}

  WindowColumns Columns() {
    WindowColumns columns;
    columns.count = count;
    columns.Set<float>("observations", observations);
    columns.Set<float>("actions", actions);
    columns.Set<float>("rewards", rewards);
    columns.Set<uint8_t>("terminated", terminated);
    columns.Set<uint8_t>("has_plan", has_plan);
    columns.Set<float>("plan_mean", plan_mean);
    columns.Set<float>("plan_std", plan_std);
    columns.Set<ParameterVersion>("versions", versions);
    columns.Set<uint64_t>("addresses", addresses);
    columns.Set<uint64_t>("draws", draws);
    columns.Set<float>("probabilities", probabilities);
    return columns;
  }

  uint32_t count;
  std::vector<float> observations, actions, rewards, plan_mean, plan_std;
  std::vector<uint8_t> terminated, has_plan;
  std::vector<uint64_t> addresses, draws;
  std::vector<float> probabilities;
  std::vector<ParameterVersion> versions;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_ROW_BUILDER_H_
