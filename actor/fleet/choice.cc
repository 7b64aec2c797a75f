#include "actor/fleet/choice.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "common/base/check.h"

namespace pompc::actor {
namespace {

// A run that has so much of an actor, or so much of its quota, too much keeps it all the same:
// quotas are no multiples of actors, and what runs want is measured.
constexpr double kSparedActor = 0.75;
constexpr double kSparedQuota = 0.1;
// The part of what is too much that leaves at each decision of all actors.
constexpr double kLeaving = 0.5;

// What each run lacks of its quota, where there are `all` environments; below zero where it has too
// much.
std::vector<double> Lacks(absl::Span<const FleetRun> runs, double all, double own) {
  // Every run has one actor, if there are so many.
  const double ones = own * static_cast<double>(runs.size());
  const double least = all >= ones - own / 2 ? own : 0;
  double wanted = 0, beyond = 0;
  for (const FleetRun& run : runs) {
    wanted += run.wanted;
    beyond += std::max(run.wanted - least, 0.0);
  }
  const double rest = least > 0 ? std::max(all - ones, 0.0) : all;
  std::vector<double> lacks;
  for (const FleetRun& run : runs) {
    const double part =
        beyond > 0 ? std::max(run.wanted - least, 0.0) / beyond : run.wanted / wanted;
    lacks.push_back(least + rest * part - run.environments);
  }
  return lacks;
}

}  // namespace

std::optional<size_t> ChooseRun(absl::Span<const FleetRun> runs, absl::string_view current,
                                double own, std::mt19937_64& random) {
  POMPC_CHECK_GT(own, 0);
  if (runs.empty()) return std::nullopt;
  double all = 0;
  std::optional<size_t> here;
  bool deserted = false;
  for (size_t i = 0; i < runs.size(); ++i) {
    POMPC_CHECK_GT(runs[i].wanted, 0);
    POMPC_CHECK_GE(runs[i].environments, 0);
    all += runs[i].environments;
    if (runs[i].run_id == current) {
      here = i;
    } else if (runs[i].environments < own / 2) {
      deserted = true;
    }
  }
  if (!here.has_value()) all += own;
  std::vector<double> lacks = Lacks(runs, all, own);
  if (here.has_value()) {
    const double surplus = -lacks[*here];
    const double quota = runs[*here].environments - surplus;
    const double spared = deserted ? 0 : std::max(kSparedActor * own, kSparedQuota * quota);
    if (surplus <= spared) return here;
    const double leaving = kLeaving * surplus / runs[*here].environments;
    if (!std::bernoulli_distribution(std::min(leaving, 1.0))(random)) return here;
  }
  for (double& lack : lacks) lack = std::max(lack, 0.0);
  const double lacking = std::accumulate(lacks.begin(), lacks.end(), 0.0);
  // Rounding alone can leave no run that lacks anything.
  if (!(lacking > 0)) return here.value_or(0);
  return std::discrete_distribution<size_t>(lacks.begin(), lacks.end())(random);
}

}  // namespace pompc::actor
