#ifndef POMPC_REPLAY_CORE_SELECTORS_ARRIVAL_ORDER_H_
#define POMPC_REPLAY_CORE_SELECTORS_ARRIVAL_ORDER_H_

#include <cstddef>
#include <vector>

#include "common/base/check.h"
#include "replay/core/selectors/selector.h"

namespace pompc::replay {

// Keys in the order in which they were inserted: a list whose links stand in an array, so that any
// key is removed in constant time. Thread-safe as long as nobody calls Insert or Remove.
class ArrivalOrder {
 public:
  using Key = Selector::Key;
  // What is kept for each key between 0 and the highest one.
  static constexpr size_t kBytesPerKey = 2 * sizeof(Key);

  // REQUIRES: `key` is not present.
  void Insert(Key key) {
    if (key >= links_.size()) links_.resize(static_cast<size_t>(key) + 1);
    links_[key] = {.before = newest_, .after = kNone};
    (size_ > 0 ? links_[newest_].after : oldest_) = key;
    newest_ = key;
    ++size_;
  }

  // REQUIRES: `key` is present.
  void Remove(Key key) {
    POMPC_CHECK_LT(key, links_.size());
    POMPC_CHECK_GT(size_, 0u);
    const Links links = links_[key];
    POMPC_DCHECK(links.before == kNone ? oldest_ == key : links_[links.before].after == key);
    (links.before == kNone ? oldest_ : links_[links.before].after) = links.after;
    (links.after == kNone ? newest_ : links_[links.after].before) = links.before;
    --size_;
  }

  size_t size() const { return size_; }
  // The key that was inserted first or last of those present. REQUIRES: size() > 0.
  Key oldest() const {
    POMPC_CHECK_GT(size_, 0u);
    return oldest_;
  }
  Key newest() const {
    POMPC_CHECK_GT(size_, 0u);
    return newest_;
  }

 private:
  // No key: slots are numbered below it.
  static constexpr Key kNone = ~Key{0};
  struct Links {
    Key before = kNone;
    Key after = kNone;
  };

  std::vector<Links> links_;
  Key oldest_ = kNone;
  Key newest_ = kNone;
  size_t size_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SELECTORS_ARRIVAL_ORDER_H_
