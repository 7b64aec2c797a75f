#include "common/base/check.h"
#include "replay/core/random.h"
#include "replay/core/selectors/selector.h"

namespace pompc::replay {
namespace {

// Every present window with the same probability, exactly. All operations take constant time
// (amortised: the arrays grow by doubling): the keys stand densely in an array, a removed one is
// replaced by the last.
class UniformSelector : public Selector {
 public:
  void Insert(Key key) override {
    POMPC_DCHECK(!IsPresent(key));
    if (key >= position_.size()) position_.resize(static_cast<size_t>(key) + 1);
    position_[key] = static_cast<uint32_t>(keys_.size());
    keys_.push_back(key);
  }

  void Remove(Key key) override {
    POMPC_DCHECK(IsPresent(key));
    // The last key moves into the hole: the order of keys means nothing, and density is what makes
    // a draw a single random number.
    const uint32_t hole = position_[key];
    keys_[hole] = keys_.back();
    position_[keys_[hole]] = hole;
    keys_.pop_back();
  }

  size_t size() const override { return keys_.size(); }

  void Sample(uint64_t seed, std::span<Key> keys) const override {
    POMPC_CHECK_GT(size(), 0u);
    // One generator for each call: which windows are drawn depends on nothing that was drawn
    // before.
    Random random(seed);
    for (Key& key : keys) key = keys_[random.Below(keys_.size())];
  }

  double Probability(Key key) const override {
    POMPC_DCHECK(IsPresent(key));
    return 1 / static_cast<double>(size());
  }

  size_t bytes_per_key() const override { return sizeof(Key) + sizeof(uint32_t); }

 private:
  bool IsPresent(Key key) const {
    return key < position_.size() && position_[key] < keys_.size() && keys_[position_[key]] == key;
  }

  std::vector<Key> keys_;
  std::vector<uint32_t> position_;  // of each key in keys_; meaningless for absent keys
};

}  // namespace

std::unique_ptr<Selector> MakeUniformSelector(const SelectorOptions& /*options*/) {
  return std::make_unique<UniformSelector>();
}

}  // namespace pompc::replay
