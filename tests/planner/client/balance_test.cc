// How a fleet of planners shares the load of many actors, in simulated time.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/planner/client/fleet_simulation.h"

namespace pompc::planner {
namespace {

// Batches that cost nearly the same however many they hold: 10,323 plans in a second.
constexpr SimulatedPlanner kGpu = {.batch = absl::Milliseconds(3), .query = absl::Microseconds(50)};
// Four cores, 800 plans in a second; and one.
constexpr SimulatedPlanner kCpu = {
    .batch = absl::ZeroDuration(), .query = absl::Milliseconds(5), .max_batch = 4, .threads = 4};
constexpr SimulatedPlanner kCore = {
    .batch = absl::ZeroDuration(), .query = absl::Milliseconds(5), .max_batch = 4};

constexpr absl::Duration kThink = absl::Milliseconds(2);

struct Fleet {
  std::string name;
  std::vector<SimulatedPlanner> planners;
  int actors;
  int environments;
};

// Enough actors to keep everybody busy.
const Fleet kBusy[] = {
    {"a GPU and four cores, many actors", {kGpu, kCpu}, 1000, 1},
    {"a GPU and four cores, large actors", {kGpu, kCpu}, 10, 64},
    {"a GPU and a core, large actors", {kGpu, kCore}, 10, 64},
    {"four alike, many actors", {kCpu, kCpu, kCpu, kCpu}, 1000, 1},
    {"four alike, one actor", {kCpu, kCpu, kCpu, kCpu}, 1, 64},
    {"one of four cores and three of one", {kCpu, kCore, kCore, kCore}, 100, 1},
    {"one of four cores and three of one, one actor", {kCpu, kCore, kCore, kCore}, 1, 64},
};

TEST(BalanceTest, BusyPlannersWorkAtTheSumOfTheirCapacitiesAndNoneStarves) {
  for (const Fleet& fleet : kBusy) {
    for (const uint64_t seed : {1, 10'001}) {
      FleetSimulation simulation(fleet.planners, fleet.actors, fleet.environments, kThink, seed);
      simulation.Run(absl::Seconds(4));
      simulation.Run(absl::Seconds(2));
      double capacity = 0;
      for (size_t i = 0; i < fleet.planners.size(); ++i) {
        const double own = fleet.planners[i].Capacity();
        EXPECT_GT(simulation.Rate(i), 0.75 * own) << fleet.name << ", " << i << ", seed " << seed;
        capacity += own;
      }
      EXPECT_GT(simulation.Rate(), 0.97 * capacity) << fleet.name << ", seed " << seed;
    }
  }
}

TEST(BalanceTest, FewActorsHardlyWaitForTheSlowPlanner) {
  for (const int actors : {1, 10}) {
    FleetSimulation alone({kGpu}, actors, 1, kThink, 1),
        beside({kGpu, kCore}, actors, 1, kThink, 1);
    for (FleetSimulation* simulation : {&alone, &beside}) {
      simulation->Run(absl::Seconds(1));
      simulation->Run(absl::Seconds(10));
    }
    EXPECT_LT(beside.MeanLatency(), 1.25 * alone.MeanLatency()) << actors;
  }
}

TEST(BalanceTest, APlannerThatWasSlowGetsItsWorkBackInSeconds) {
  FleetSimulation simulation({kCpu, kCpu}, 200, 1, kThink, 1);
  simulation.Run(absl::Seconds(3));
  simulation.planner(0).query = absl::Milliseconds(500);
  simulation.Run(absl::Seconds(30));
  EXPECT_LT(simulation.Rate(0), 0.05 * kCpu.Capacity());
  EXPECT_GT(simulation.Rate(1), 0.9 * kCpu.Capacity()) << "actors wait for the slow planner";
  simulation.planner(0).query = kCpu.query;
  simulation.Run(absl::Seconds(10));
  simulation.Run(absl::Seconds(5));
  EXPECT_GT(simulation.Rate(0), 0.95 * kCpu.Capacity());
}

TEST(BalanceTest, AddedPlannersDoTheirShareWithinASecond) {
  FleetSimulation simulation({kCpu}, 200, 1, kThink, 1);
  simulation.Run(absl::Seconds(3));
  EXPECT_GT(simulation.Rate(), 0.97 * kCpu.Capacity());
  simulation.AddPlanner(kCpu);
  simulation.AddPlanner(kCore);
  simulation.Run(absl::Seconds(1));
  simulation.Run(absl::Seconds(5));
  EXPECT_GT(simulation.Rate(), 0.97 * (2 * kCpu.Capacity() + kCore.Capacity()));
}

}  // namespace
}  // namespace pompc::planner
