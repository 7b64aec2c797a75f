#include "replay/core/selectors/uniform.h"

#include "replay/core/random.h"

namespace pompc::replay {

void UniformSelector::Insert(Key key) {
  if (key >= position_.size()) position_.resize(static_cast<size_t>(key) + 1);
  position_[key] = static_cast<uint32_t>(keys_.size());
  keys_.push_back(key);
}

void UniformSelector::Remove(Key key) {
  const uint32_t hole = position_[key];
  keys_[hole] = keys_.back();
  position_[keys_[hole]] = hole;
  keys_.pop_back();
}

void UniformSelector::Sample(uint64_t seed, std::span<Key> keys) const {
  Random random(seed);
  for (Key& key : keys) key = keys_[random.Below(keys_.size())];
}

}  // namespace pompc::replay
