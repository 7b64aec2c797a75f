#include "replay/core/selectors/selector.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/random.h"
#include "replay/core/selectors/sum_tree.h"
#include "tests/replay/chi_square.h"

namespace pompc::replay {
namespace {

using Key = Selector::Key;
using ::testing::Each;
using ::testing::UnorderedElementsAre;

std::vector<Key> DrawFrom(const Selector& selector, uint64_t seed, size_t count) {
  std::vector<Key> keys(count);
  selector.Sample(seed, keys);
  return keys;
}

TEST(SelectorTest, EverySelectorIsMadeByItsName) {
  EXPECT_THAT(SelectorNames(), UnorderedElementsAre("UNIFORM", "PRIORITIZED", "FIFO", "LIFO"));
  for (const std::string& name : SelectorNames()) {
    EXPECT_EQ(MakeSelector({.name = name})->has_priorities(), name == "PRIORITIZED") << name;
  }
}

// What holds for any selector, under random insertions and removals.
TEST(SelectorTest, DrawsOnlyWhatIsPresent) {
  for (const std::string& name : SelectorNames()) {
    const std::unique_ptr<Selector> selector = MakeSelector({.name = name});
    Random random(7);
    std::vector<Key> present;
    for (int step = 0; step < 3000; ++step) {
      const Key key = static_cast<Key>(random.Below(64));
      const auto found = std::find(present.begin(), present.end(), key);
      if (found == present.end()) {
        selector->Insert(key);
        present.push_back(key);
      } else {
        selector->Remove(key);
        present.erase(found);
      }
      ASSERT_EQ(selector->size(), present.size()) << name;
      if (present.empty()) continue;
      double sum = 0;
      for (const Key each : present) sum += selector->Probability(each);
      ASSERT_NEAR(sum, 1, 1e-9) << name << ", step " << step;
      for (const Key drawn : DrawFrom(*selector, step, 4)) {
        ASSERT_TRUE(std::find(present.begin(), present.end(), drawn) != present.end()) << name;
        ASSERT_GT(selector->Probability(drawn), 0) << name;
      }
    }
  }
}

TEST(SelectorTest, SameSeedOnTheSameHistoryDrawsTheSame) {
  for (const std::string& name : SelectorNames()) {
    std::vector<std::vector<Key>> draws;
    for (int repeat = 0; repeat < 2; ++repeat) {
      const std::unique_ptr<Selector> selector = MakeSelector({.name = name});
      for (Key key = 0; key < 1000; ++key) selector->Insert(key);
      for (Key key = 0; key < 1000; key += 3) selector->Remove(key);
      for (Key key = 1; key < 1000 && selector->has_priorities(); key += 3) {
        selector->SetPriority(key, 0.01 * key);
      }
      draws.push_back(DrawFrom(*selector, 5, 100));
      // What was drawn before does not matter.
      draws.push_back(DrawFrom(*selector, 5, 100));
    }
    for (const std::vector<Key>& other : draws) EXPECT_EQ(draws[0], other) << name;
  }
}

TEST(SelectorTest, UniformDrawsEveryWindowAlike) {
  const std::unique_ptr<Selector> selector = MakeSelector({.name = "UNIFORM"});
  for (Key key = 0; key < 60; ++key) selector->Insert(key);
  for (Key key = 0; key < 60; key += 4) selector->Remove(key);
  std::map<Key, double> probabilities;
  for (Key key = 0; key < 60; ++key) {
    if (key % 4 != 0) probabilities[key] = 1 / 45.0;
  }
  ChiSquare<Key> test(probabilities);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    for (const Key key : DrawFrom(*selector, seed, 256)) test.Add(key);
  }
  EXPECT_TRUE(test.Passes());
  EXPECT_EQ(selector->mass(), 45);
}

TEST(SelectorTest, PrioritizedDrawsInProportionToThePowerOfThePriority) {
  for (const double alpha : {0.0, 0.6, 1.0}) {
    const std::unique_ptr<Selector> selector =
        MakeSelector({.name = "PRIORITIZED", .alpha = alpha});
    std::map<Key, double> probabilities;
    double sum = 0;
    for (Key key = 0; key < 40; ++key) {
      selector->Insert(key);
      const double priority = 0.25 + 0.5 * (key % 8);
      selector->SetPriority(key, priority);
      sum += probabilities[key] = std::pow(priority, alpha);
    }
    ChiSquare<Key> test([&] {
      std::map<Key, double> normalized = probabilities;
      for (auto& [key, probability] : normalized) probability /= sum;
      return normalized;
    }());
    for (uint64_t seed = 0; seed < 200; ++seed) {
      for (const Key key : DrawFrom(*selector, seed, 256)) test.Add(key);
    }
    EXPECT_TRUE(test.Passes()) << "alpha " << alpha;
    for (const auto& [key, power] : probabilities) {
      // Priorities are kept in steps of 1.5e-5.
      EXPECT_NEAR(selector->Probability(key), power / sum, 1e-4 * power / sum) << "alpha " << alpha;
    }
  }
}

TEST(SelectorTest, NewWindowsHaveTheHighestPriorityThatWasSet) {
  const std::unique_ptr<Selector> selector = MakeSelector({.name = "PRIORITIZED", .alpha = 1});
  selector->Insert(0);
  selector->Insert(1);
  EXPECT_DOUBLE_EQ(selector->Probability(0), 0.5);
  selector->SetPriority(0, 8);
  selector->SetPriority(1, 2);
  // Its priority is 8, although the window that had it is gone.
  selector->Remove(0);
  selector->Insert(2);
  EXPECT_DOUBLE_EQ(selector->Probability(1), 0.2);
  EXPECT_DOUBLE_EQ(selector->Probability(2), 0.8);
}

TEST(SelectorTest, ConfiguredInitialPriorityStays) {
  const std::unique_ptr<Selector> selector =
      MakeSelector({.name = "PRIORITIZED", .alpha = 1, .initial_priority = 3});
  selector->Insert(0);
  selector->SetPriority(0, 9);
  selector->Insert(1);
  EXPECT_DOUBLE_EQ(selector->Probability(0), 0.75);
  EXPECT_DOUBLE_EQ(selector->Probability(1), 0.25);
}

TEST(SelectorTest, PrioritiesOfAnySizeAreTaken) {
  const std::unique_ptr<Selector> selector = MakeSelector({.name = "PRIORITIZED", .alpha = 1});
  for (Key key = 0; key < 3; ++key) selector->Insert(key);
  selector->SetPriority(0, 0);
  selector->SetPriority(1, 1e30);
  selector->SetPriority(2, Selector::kMaxPriority);
  EXPECT_GT(selector->Probability(0), 0);
  EXPECT_DOUBLE_EQ(selector->Probability(1), selector->Probability(2));
}

TEST(SelectorTest, FifoDrawsTheOldestAndLifoTheNewest) {
  const std::unique_ptr<Selector> fifo = MakeSelector({.name = "FIFO"});
  const std::unique_ptr<Selector> lifo = MakeSelector({.name = "LIFO"});
  for (Selector* selector : {fifo.get(), lifo.get()}) {
    // The order is that of insertion, not that of keys, which are used again.
    for (const Key key : {5, 3, 9, 4}) selector->Insert(key);
    selector->Remove(3);
    selector->Insert(3);
  }
  for (const Key next : {5, 9, 4, 3}) {
    EXPECT_THAT(DrawFrom(*fifo, 1, 10), Each(next));
    EXPECT_EQ(fifo->Probability(next), 1);
    fifo->Remove(next);
  }
  for (const Key next : {3, 4, 9, 5}) {
    EXPECT_THAT(DrawFrom(*lifo, 1, 10), Each(next));
    lifo->Remove(next);
  }
  EXPECT_EQ(fifo->size() + lifo->size(), 0);
}

TEST(SumTreeTest, AgreesWithPlainSums) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Random random(seed);
    SumTree tree;
    std::vector<uint32_t> masses(5000);
    for (int step = 0; step < 4000; ++step) {
      // The slots in use grow over the test, so that the tree does at each level.
      const uint32_t slot = static_cast<uint32_t>(random.Below(1 + step * masses.size() / 4000));
      const uint32_t mass = random.Below(4) == 0 ? 0 : static_cast<uint32_t>(random.Next());
      masses[slot] = mass;
      tree.Set(slot, mass);
      if (step % 100 != 0) continue;
      uint64_t begin = 0;
      for (uint32_t s = 0; s < masses.size(); ++s) {
        ASSERT_EQ(tree.mass(s), masses[s]) << "seed " << seed;
        if (masses[s] == 0) continue;
        ASSERT_EQ(tree.Find(begin), s) << "seed " << seed << ", step " << step;
        begin += masses[s];
        ASSERT_EQ(tree.Find(begin - 1), s) << "seed " << seed << ", step " << step;
      }
      ASSERT_EQ(tree.total(), begin) << "seed " << seed;
    }
  }
}

TEST(SumTreeTest, TheLargestMassesDoNotOverflow) {
  SumTree tree;
  for (uint32_t slot = 0; slot < 300; ++slot) tree.Set(slot, SumTree::kMaxMass);
  EXPECT_EQ(tree.total(), uint64_t{300} * SumTree::kMaxMass);
  EXPECT_EQ(tree.Find(tree.total() - 1), 299);
}

}  // namespace
}  // namespace pompc::replay
