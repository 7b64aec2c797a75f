#ifndef POMPC_REPLAY_CORE_SELECTORS_ARRIVAL_ORDER_H_
#define POMPC_REPLAY_CORE_SELECTORS_ARRIVAL_ORDER_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "common/base/check.h"
#include "replay/core/selectors/selector.h"

namespace pompc::replay {

// Draws the window at one end of the order in which they became valid, for as long as it is
// present: the oldest or the newest. The order is a list whose links stand in an array, so that any
// key is removed in constant time.
class ArrivalOrder : public Selector {
 public:
  enum class End { kOldest, kNewest };

  explicit ArrivalOrder(End end) : end_(end) {}

  void Insert(Key key) override {
    if (key >= links_.size()) links_.resize(static_cast<size_t>(key) + 1);
    links_[key] = {.before = newest_, .after = kNone};
    (size_ > 0 ? links_[newest_].after : oldest_) = key;
    newest_ = key;
    ++size_;
  }

  void Remove(Key key) override {
    POMPC_CHECK_LT(key, links_.size());
    POMPC_CHECK_GT(size_, 0u);
    const Links links = links_[key];
    POMPC_DCHECK(links.before == kNone ? oldest_ == key : links_[links.before].after == key);
    (links.before == kNone ? oldest_ : links_[links.before].after) = links.after;
    (links.after == kNone ? newest_ : links_[links.after].before) = links.before;
    --size_;
  }

  size_t size() const override { return size_; }

  void Sample(uint64_t /*seed*/, std::span<Key> keys) const override {
    std::fill(keys.begin(), keys.end(), Drawn());
  }

  double Probability(Key key) const override { return key == Drawn() ? 1 : 0; }

  size_t bytes_per_key() const override { return sizeof(Links); }

 private:
  Key Drawn() const {
    POMPC_CHECK_GT(size_, 0u);
    return end_ == End::kOldest ? oldest_ : newest_;
  }

  // No key: slots are numbered below it.
  static constexpr Key kNone = ~Key{0};
  struct Links {
    Key before = kNone;
    Key after = kNone;
  };

  const End end_;
  std::vector<Links> links_;
  Key oldest_ = kNone;
  Key newest_ = kNone;
  size_t size_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SELECTORS_ARRIVAL_ORDER_H_
