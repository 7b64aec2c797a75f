// How actors of a fleet divide themselves among runs: in virtual time, with the code by which runs
// tell what they want.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "actor/fleet/choice.h"
#include "gtest/gtest.h"
#include "run/rows/environment_demand.h"

namespace pompc::actor {
namespace {

constexpr uint64_t kSeed = 20261130;

std::optional<size_t> Choose(const std::vector<FleetRun>& runs, const std::string& current,
                             double own = 1, uint64_t seed = kSeed) {
  std::mt19937_64 random(seed);
  return ChooseRun(runs, current, own, random);
}

// Chooses many times with other draws; returns how often each run was chosen.
std::vector<int> ChooseOften(const std::vector<FleetRun>& runs, const std::string& current,
                             double own = 1) {
  std::mt19937_64 random(kSeed);
  std::vector<int> chosen(runs.size());
  for (int i = 0; i < 10000; ++i) ++chosen[*ChooseRun(runs, current, own, random)];
  return chosen;
}

TEST(FleetChoiceTest, WithoutRunsThereIsNothingToChoose) {
  EXPECT_FALSE(Choose({}, "").has_value());
}

TEST(FleetChoiceTest, TheOnlyRunIsServedWhateverItWants) {
  EXPECT_EQ(Choose({{"a", 100, 1}}, ""), 0u);
  EXPECT_EQ(Choose({{"a", 100, 1}}, "a"), 0u);
}

TEST(FleetChoiceTest, AnActorWithoutARunGoesWhereActorsLack) {
  // Of 8 environments one for each run, and the other 6 as 9 to 3: quotas of 5.5 and 2.5.
  const std::vector<int> chosen = ChooseOften({{"a", 2, 10}, {"b", 5, 4}}, "");
  EXPECT_EQ(chosen[1], 0) << "b has more than its quota";
  // At the start of a fleet all of them choose at once: with the chances of what is wanted.
  const std::vector<int> first = ChooseOften({{"a", 0, 30}, {"b", 0, 10}}, "");
  EXPECT_NEAR(first[0], 7500, 200);
}

TEST(FleetChoiceTest, AnActorStaysWhereItIsNotTooMuch) {
  EXPECT_EQ(ChooseOften({{"a", 5, 5}, {"b", 5, 5}}, "a")[0], 10000);
  // Quotas of 4.5: half an actor too much is no reason to go.
  EXPECT_EQ(ChooseOften({{"a", 5, 5}, {"b", 4, 5}}, "a")[0], 10000);
  // The last actor of a run stays, however much others want.
  EXPECT_EQ(ChooseOften({{"a", 1, 0.25}, {"b", 3, 100}}, "a")[0], 10000);
  // A twentieth of a hundred is more than an actor, but less than what runs are measured by.
  EXPECT_EQ(ChooseOften({{"a", 104, 100}, {"b", 96, 100}}, "a")[0], 10000);
}

TEST(FleetChoiceTest, HalfOfWhatIsTooMuchLeaves) {
  // Quotas of 10: each of the 16 leaves with half the chance at which 6 of them would.
  const std::vector<int> chosen = ChooseOften({{"a", 16, 10}, {"b", 4, 10}, {"c", 10, 10}}, "a");
  EXPECT_NEAR(chosen[1], 10000 * 0.5 * 6 / 16, 150);
  EXPECT_EQ(chosen[2], 0) << "c lacks nothing";
}

// A fleet in virtual time. Actors decide every ten seconds at times of their own, with what runs
// said up to five seconds ago.
class FleetSimulation {
 public:
  FleetSimulation(std::vector<double> needed, int actors)
      : needed_(std::move(needed)),
        demands_(needed_.size(), run::EnvironmentDemand(1)),
        told_(needed_.size()),
        served_(needed_.size(), 0),
        serves_(actors, -1) {
    for (int i = 0; i < actors; ++i) next_.push_back(std::uniform_int_distribution(0, 99)(random_));
  }

  // Lets so many seconds pass. A run that needs 0 environments is over.
  void Pass(int seconds) {
    for (int tick = 0; tick < seconds * 10; ++tick, ++now_) Tick();
  }

  void SetNeeded(size_t run, double needed) { needed_[run] = needed; }
  int At(size_t run) const {
    return static_cast<int>(std::count(serves_.begin(), serves_.end(), static_cast<int>(run)));
  }
  // The seconds in which the run had an actor.
  double served(size_t run) const { return served_[run] / 10.0; }
  int moves() const { return moves_; }

 private:
  void Tick() {
    for (size_t run = 0; run < needed_.size(); ++run) {
      const double n = At(run);
      served_[run] += n > 0;
      if (needed_[run] == 0) continue;
      demands_[run].Observe(absl::Milliseconds(100), n, std::max(0.0, 1 - n / needed_[run]),
                            n == 0 ? 0 : std::max(0.0, 1 - needed_[run] / n));
      if (now_ % 50 == static_cast<int>(run) % 50) {
        told_[run] = {std::to_string(run), n, demands_[run].wanted()};
      }
    }
    for (size_t actor = 0; actor < serves_.size(); ++actor) {
      if (now_ >= next_[actor]) Decide(actor);
    }
  }

  void Decide(size_t actor) {
    next_[actor] = now_ + std::uniform_int_distribution(75, 125)(random_);
    std::vector<FleetRun> runs;
    for (size_t run = 0; run < needed_.size(); ++run) {
      if (needed_[run] > 0 && !told_[run].run_id.empty()) runs.push_back(told_[run]);
    }
    const std::string current = serves_[actor] < 0 ? "" : std::to_string(serves_[actor]);
    const auto chosen = ChooseRun(runs, current, 1, random_);
    const int run = chosen.has_value() ? std::stoi(runs[*chosen].run_id) : -1;
    moves_ += run != serves_[actor];
    serves_[actor] = run;
  }

  std::mt19937_64 random_{kSeed};
  std::vector<double> needed_;
  std::vector<run::EnvironmentDemand> demands_;
  std::vector<FleetRun> told_;
  std::vector<int> served_;
  std::vector<int> serves_, next_;
  int now_ = 0, moves_ = 0;
};

TEST(FleetChoiceTest, AFleetThatSufficesGivesEveryRunWhatItNeeds) {
  FleetSimulation fleet({40, 10, 5, 1}, 64);
  fleet.Pass(180);
  EXPECT_GE(fleet.At(0), 40);
  EXPECT_GE(fleet.At(1), 10);
  EXPECT_GE(fleet.At(2), 5);
  EXPECT_GE(fleet.At(3), 1);
  const int before = fleet.moves();
  fleet.Pass(600);
  EXPECT_LE(fleet.moves() - before, 64) << "once divided, actors stay where they are";
  EXPECT_GE(fleet.At(0), 38);
}

TEST(FleetChoiceTest, AFleetThatDoesNotSufficeLacksAlikeEverywhere) {
  FleetSimulation fleet({100, 50, 50}, 100);
  fleet.Pass(300);
  EXPECT_NEAR(fleet.At(0), 50, 8);
  EXPECT_NEAR(fleet.At(1), 25, 6);
  EXPECT_NEAR(fleet.At(2), 25, 6);
}

TEST(FleetChoiceTest, ActorsFollowWhatChanges) {
  FleetSimulation fleet({20, 20}, 40);
  fleet.Pass(120);
  EXPECT_NEAR(fleet.At(0), 20, 4);
  // A run ends, another one begins to need more.
  fleet.SetNeeded(0, 0);
  fleet.Pass(20);
  EXPECT_EQ(fleet.At(0), 0);
  EXPECT_EQ(fleet.At(1), 40);
  fleet.SetNeeded(0, 60);
  fleet.Pass(300);
  EXPECT_NEAR(fleet.At(0), 30, 6) << "60 and 20 are needed of 40";
  EXPECT_NEAR(fleet.At(1), 10, 6);
}

TEST(FleetChoiceTest, AThousandActorsDoNotAllRunToTheSameRun) {
  FleetSimulation fleet(std::vector<double>(20, 60), 1000);
  fleet.Pass(60);
  for (size_t run = 0; run < 20; ++run) EXPECT_NEAR(fleet.At(run), 50, 25) << run;
  fleet.Pass(120);
  for (size_t run = 0; run < 20; ++run) EXPECT_NEAR(fleet.At(run), 50, 10) << run;
}

TEST(FleetChoiceTest, FewerActorsThanRunsTakeTurns) {
  FleetSimulation fleet({4, 4, 4, 4, 4}, 2);
  fleet.Pass(3600);
  for (size_t run = 0; run < 5; ++run) {
    EXPECT_GE(fleet.served(run), 3600 * 0.2) << "run " << run << " of a share of 0.4";
  }
}

}  // namespace
}  // namespace pompc::actor
