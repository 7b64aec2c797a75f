#include "replay/core/selectors/sum_tree.h"

#include <numeric>

#include "common/base/check.h"

namespace pompc::replay {
namespace {

// The children of a node: 16 masses are one cache line, 16 sums are two, and a million slots need
// four levels above the masses. A binary tree would touch a cache line for each of its 20 levels.
constexpr size_t kShift = 4;
constexpr size_t kFanOut = size_t{1} << kShift;

size_t RoundUp(size_t n) { return (n + kFanOut - 1) / kFanOut * kFanOut; }

// The child in which `*point` lies among the kFanOut at `children`; `*point` becomes what it is
// within that child.
template <typename T>
size_t Descend(const T* children, uint64_t* point) {
  size_t child = 0;
  while (*point >= children[child]) {
    *point -= children[child];
    ++child;
    POMPC_DCHECK_LT(child, kFanOut);
  }
  return child;
}

}  // namespace

void SumTree::Set(uint32_t slot, uint32_t mass) {
  if (slot >= masses_.size()) Grow(slot);
  // Modulo 2^64, so that a difference may be negative.
  const uint64_t difference = uint64_t{mass} - masses_[slot];
  masses_[slot] = mass;
  total_ += difference;
  size_t node = slot;
  for (std::vector<uint64_t>& level : sums_) {
    node >>= kShift;
    level[node] += difference;
  }
}

uint32_t SumTree::Find(uint64_t point) const {
  POMPC_CHECK_LT(point, total_);
  size_t node = 0;
  for (auto level = sums_.rbegin(); level != sums_.rend(); ++level) {
    node = (node << kShift) + Descend(level->data() + (node << kShift), &point);
  }
  node = (node << kShift) + Descend(masses_.data() + (node << kShift), &point);
  return static_cast<uint32_t>(node);
}

void SumTree::Grow(uint32_t slot) {
  masses_.resize(RoundUp(size_t{slot} + 1));
  size_t nodes = masses_.size();
  for (size_t k = 0; nodes > kFanOut; ++k) {
    const size_t children = nodes;
    nodes = RoundUp(children / kFanOut);
    if (k < sums_.size()) {
      // New nodes have children of mass 0.
      sums_[k].resize(nodes);
      continue;
    }
    // So far the level below was the top one: its one block becomes the first child here.
    sums_.emplace_back(nodes)[0] = total_;
  }
}

}  // namespace pompc::replay
