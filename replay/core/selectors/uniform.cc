#include "replay/core/selectors/uniform.h"

#include "replay/core/random.h"

namespace pompc::replay {

void UniformSelector::Insert(Key key) {
  POMPC_DCHECK(!IsPresent(key));
  if (key >= position_.size()) position_.resize(static_cast<size_t>(key) + 1);
  position_[key] = static_cast<uint32_t>(keys_.size());
  keys_.push_back(key);
}

void UniformSelector::Remove(Key key) {
  POMPC_DCHECK(IsPresent(key));
  // The last key moves into the hole: the order of keys means nothing, and density is what makes a
  // draw a single random number.
  const uint32_t hole = position_[key];
  keys_[hole] = keys_.back();
  position_[keys_[hole]] = hole;
  keys_.pop_back();
}

bool UniformSelector::IsPresent(Key key) const {
  return key < position_.size() && position_[key] < keys_.size() && keys_[position_[key]] == key;
}

void UniformSelector::Sample(uint64_t seed, std::span<Key> keys) const {
  POMPC_CHECK_GT(size(), 0u);
  // One generator for each call: which windows are drawn depends on nothing that was drawn before.
  Random random(seed);
  for (Key& key : keys) key = keys_[random.Below(keys_.size())];
}

double UniformSelector::Probability(Key key) const {
  POMPC_DCHECK(IsPresent(key));
  return 1 / static_cast<double>(size());
}

std::unique_ptr<Selector> MakeUniformSelector(const SelectorOptions& /*options*/) {
  return std::make_unique<UniformSelector>();
}

}  // namespace pompc::replay
