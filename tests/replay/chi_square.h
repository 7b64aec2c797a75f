#ifndef POMPC_TESTS_REPLAY_CHI_SQUARE_H_
#define POMPC_TESTS_REPLAY_CHI_SQUARE_H_

#include <cmath>
#include <cstdint>
#include <map>
#include <utility>

#include "common/base/check.h"

namespace pompc::replay {

// Pearson's test of counted draws against the probabilities that they should have.
template <typename Key>
class ChiSquare {
 public:
  // Each key is drawn with its probability; they sum to 1, up to rounding.
  explicit ChiSquare(std::map<Key, double> probabilities)
      : probabilities_(std::move(probabilities)) {}

  void Add(const Key& key) {
    ++draws_;
    ++counts_[key];
  }

  // True if no key came that cannot, and the statistic is below its quantile of five standard
  // deviations: about 3 in 10 million correct samplers fail. The quantile is that of Wilson and
  // Hilferty. REQUIRES: each key is expected at least five times, as the test asks.
  bool Passes() const {
    double sum = 0, statistic = 0;
    for (const auto& [key, probability] : probabilities_) {
      const double expected = probability * static_cast<double>(draws_);
      POMPC_CHECK_GE(expected, 5.0, "too few draws for this test");
      const auto found = counts_.find(key);
      const double count = found == counts_.end() ? 0 : static_cast<double>(found->second);
      statistic += (count - expected) * (count - expected) / expected;
      sum += count;
    }
    const double k = static_cast<double>(probabilities_.size()) - 1;
    const double spread = 2 / (9 * k);
    return sum == static_cast<double>(draws_) &&
           statistic < k * std::pow(1 - spread + 5 * std::sqrt(spread), 3);
  }

 private:
  const std::map<Key, double> probabilities_;
  std::map<Key, uint64_t> counts_;
  uint64_t draws_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_CHI_SQUARE_H_
