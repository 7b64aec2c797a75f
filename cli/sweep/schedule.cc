#include "cli/sweep/schedule.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/statistics.h"

namespace pompc::cli {
namespace {

// Returns whether all trials of these settings with the first `seeds` seeds are finished or have
// failed.
bool IsOver(const SweepPlan& plan, const std::vector<TrialOutcome>& outcomes,
            const std::vector<bool>& active, size_t seeds) {
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const Trial& trial = plan.trials[i];
    if (!active[trial.setting] || trial.seed >= seeds) continue;
    if (!outcomes[i].score.has_value() && !outcomes[i].failed) return false;
  }
  return true;
}

double ScoreOf(const SweepPlan& plan, const std::vector<TrialOutcome>& outcomes, size_t setting,
               size_t seeds) {
  std::vector<double> scores;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const Trial& trial = plan.trials[i];
    if (trial.setting != setting || trial.seed >= seeds) continue;
    if (!outcomes[i].score.has_value()) return -std::numeric_limits<double>::infinity();
    scores.push_back(*outcomes[i].score);
  }
  return Mean(scores);
}

// The settings that go on after a round.
std::vector<bool> Halve(const SweepPlan& plan, const std::vector<TrialOutcome>& outcomes,
                        const std::vector<bool>& active, size_t seeds) {
  std::vector<size_t> ranked;
  std::vector<double> scores(active.size());
  for (size_t setting = 0; setting < active.size(); ++setting) {
    if (!active[setting]) continue;
    ranked.push_back(setting);
    scores[setting] = ScoreOf(plan, outcomes, setting, seeds);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&scores](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<bool> kept(active.size(), false);
  for (size_t i = 0; i < KeptOf(plan.sweep.halving(), ranked.size()); ++i) kept[ranked[i]] = true;
  for (size_t setting = 0; setting < active.size(); ++setting) {
    if (plan.settings[setting].pinned) kept[setting] = active[setting];
  }
  return kept;
}

std::string DecisionText(const SweepPlan& plan, const std::vector<bool>& before,
                         const std::vector<bool>& kept, size_t seeds) {
  std::vector<std::string> names;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) names.push_back(plan.settings[i].name);
  }
  return absl::StrCat("after ", seeds, " seeds ", names.size(), " of ",
                      std::count(before.begin(), before.end(), true),
                      " settings go on: ", absl::StrJoin(names, ", "));
}

}  // namespace

Schedule MakeSchedule(const SweepPlan& plan, const std::vector<TrialOutcome>& outcomes) {
  POMPC_CHECK_EQ(outcomes.size(), plan.trials.size());
  Schedule schedule;
  schedule.needs.assign(outcomes.size(), TrialNeed::kLater);
  std::vector<size_t> rounds(plan.sweep.halving().seeds().begin(),
                             plan.sweep.halving().seeds().end());
  if (rounds.empty()) rounds.push_back(plan.seeds.size());
  std::vector<bool> active(plan.settings.size(), true);
  for (size_t round = 0; round < rounds.size(); ++round) {
    const size_t seeds = rounds[round];
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const Trial& trial = plan.trials[i];
      if (active[trial.setting] && trial.seed < seeds) schedule.needs[i] = TrialNeed::kWanted;
    }
    if (round + 1 == rounds.size() || !IsOver(plan, outcomes, active, seeds)) break;
    const std::vector<bool> kept = Halve(plan, outcomes, active, seeds);
    schedule.decisions.push_back(DecisionText(plan, active, kept, seeds));
    active = kept;
    for (size_t i = 0; i < outcomes.size(); ++i) {
      const bool left_behind =
          !active[plan.trials[i].setting] && schedule.needs[i] == TrialNeed::kLater;
      if (left_behind) schedule.needs[i] = TrialNeed::kDropped;
    }
  }
  return schedule;
}

}  // namespace pompc::cli
