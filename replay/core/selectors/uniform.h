#ifndef POMPC_REPLAY_CORE_SELECTORS_UNIFORM_H_
#define POMPC_REPLAY_CORE_SELECTORS_UNIFORM_H_

#include <vector>

#include "replay/core/selectors/selector.h"

namespace pompc::replay {

// Every present window with the same probability, exactly. All operations take constant time
// (amortised: the arrays grow by doubling): the keys stand densely in an array, a removed one is
// replaced by the last.
class UniformSelector : public Selector {
 public:
  void Insert(Key key) override;
  void Remove(Key key) override;
  size_t size() const override { return keys_.size(); }
  void Sample(uint64_t seed, std::span<Key> keys) const override;
  double Probability(Key key) const override;
  size_t bytes_per_key() const override { return sizeof(Key) + sizeof(uint32_t); }

 private:
  bool IsPresent(Key key) const;

  std::vector<Key> keys_;
  std::vector<uint32_t> position_;  // of each key in keys_; meaningless for absent keys
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SELECTORS_UNIFORM_H_
