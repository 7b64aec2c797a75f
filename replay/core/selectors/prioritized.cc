#include <algorithm>
#include <cmath>

#include "common/base/check.h"
#include "replay/core/random.h"
#include "replay/core/selectors/selector.h"
#include "replay/core/selectors/sum_tree.h"

namespace pompc::replay {
namespace {

// Priorities to the power of alpha become whole numbers in these units: 1.5e-5. With them sums are
// exact, and so is the probability that is reported of a draw, which is what importance weights
// need. What is lost is a little of the priority itself.
constexpr double kUnits = 65536;

// Draws in proportion to priority^alpha (Schaul et al. 2016, proportional prioritisation). A window
// whose priority is 0 keeps the smallest mass there is, in place of the paper's epsilon: it stays
// in reach.
class PrioritizedSelector : public Selector {
 public:
  explicit PrioritizedSelector(const SelectorOptions& options)
      : alpha_(options.alpha),
        follows_highest_(options.initial_priority == 0),
        initial_mass_(MassOf(follows_highest_ ? 1 : options.initial_priority)) {}

  void Insert(Key key) override {
    POMPC_DCHECK_EQ(tree_.mass(key), 0u);
    tree_.Set(key, initial_mass_);
    ++size_;
  }

  void Remove(Key key) override {
    POMPC_DCHECK_GT(tree_.mass(key), 0u);
    tree_.Set(key, 0);
    --size_;
  }

  size_t size() const override { return size_; }

  void Sample(uint64_t seed, std::span<Key> keys) const override {
    POMPC_CHECK_GT(size(), 0u);
    Random random(seed);
    for (Key& key : keys) key = tree_.Find(random.Below(tree_.total()));
  }

  double Probability(Key key) const override {
    POMPC_DCHECK_GT(tree_.mass(key), 0u);
    return static_cast<double>(tree_.mass(key)) / static_cast<double>(tree_.total());
  }

  uint64_t mass() const override { return tree_.total(); }

  bool has_priorities() const override { return true; }

  void SetPriority(Key key, double priority) override {
    POMPC_CHECK(std::isfinite(priority) && priority >= 0, "priority");
    POMPC_DCHECK_GT(tree_.mass(key), 0u);
    tree_.Set(key, MassOf(priority));
    if (!follows_highest_ || priority <= highest_) return;
    highest_ = priority;
    initial_mass_ = MassOf(priority);
  }

  // The masses, and a sixteenth as many sums of 8 bytes above them, and so on.
  size_t bytes_per_key() const override { return 5; }

 private:
  uint32_t MassOf(double priority) const {
    const double mass = std::pow(std::min(priority, kMaxPriority), alpha_) * kUnits;
    return static_cast<uint32_t>(
        std::clamp(std::round(mass), 1.0, static_cast<double>(SumTree::kMaxMass)));
  }

  const double alpha_;
  // New windows have the highest priority that was set so far.
  const bool follows_highest_;
  double highest_ = 0;
  uint32_t initial_mass_;
  SumTree tree_;
  size_t size_ = 0;
};

}  // namespace

std::unique_ptr<Selector> MakePrioritizedSelector(const SelectorOptions& options) {
  return std::make_unique<PrioritizedSelector>(options);
}

}  // namespace pompc::replay
