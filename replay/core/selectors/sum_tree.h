#ifndef POMPC_REPLAY_CORE_SELECTORS_SUM_TREE_H_
#define POMPC_REPLAY_CORE_SELECTORS_SUM_TREE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pompc::replay {

// The masses of slots 0, 1, 2, ... and the sums of them over aligned blocks of 16, 256, 4096, ...
// slots. Setting a mass and finding the slot at a point of the cumulative sum take the logarithm of
// the number of slots, at about 4.6 bytes a slot. Masses are whole numbers: sums are exact whatever
// the history, and the same on every machine. Thread-safe as long as nobody calls Set.
class SumTree {
 public:
  // No sum overflows: 2^32 slots of at most 2^32 - 1 each stay below 2^64.
  static constexpr uint32_t kMaxMass = ~uint32_t{0};

  // Gives `slot` the mass `mass`. Slots that were never set have mass 0.
  void Set(uint32_t slot, uint32_t mass);

  uint32_t mass(uint32_t slot) const { return slot < masses_.size() ? masses_[slot] : 0; }
  // The sum of all masses.
  uint64_t total() const { return total_; }
  // The slot s for which mass(0) + ... + mass(s - 1) <= point < mass(0) + ... + mass(s).
  // REQUIRES: point < total().
  uint32_t Find(uint64_t point) const;

 private:
  // Makes room for `slot`.
  void Grow(uint32_t slot);

  std::vector<uint32_t> masses_;
  // sums_[0][i] is the sum of masses 16 i .. 16 i + 15, sums_[k + 1][i] that of 16 sums of
  // sums_[k]. Each level, and masses_, is filled up with zeros to a multiple of 16, and the top one
  // has 16.
  std::vector<std::vector<uint64_t>> sums_;
  uint64_t total_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SELECTORS_SUM_TREE_H_
