#include <algorithm>

#include "common/base/check.h"
#include "replay/core/selectors/arrival_order.h"
#include "replay/core/selectors/selector.h"

namespace pompc::replay {
namespace {

// Draws the oldest window, that is, the one that became valid first, for as long as it is present.
class FifoSelector : public Selector {
 public:
  void Insert(Key key) override { order_.Insert(key); }
  void Remove(Key key) override { order_.Remove(key); }
  size_t size() const override { return order_.size(); }

  void Sample(uint64_t /*seed*/, std::span<Key> keys) const override {
    POMPC_CHECK_GT(size(), 0u);
    std::fill(keys.begin(), keys.end(), order_.oldest());
  }

  double Probability(Key key) const override { return key == order_.oldest() ? 1 : 0; }

  size_t bytes_per_key() const override { return ArrivalOrder::kBytesPerKey; }

 private:
  ArrivalOrder order_;
};

}  // namespace

std::unique_ptr<Selector> MakeFifoSelector(const SelectorOptions& /*options*/) {
  return std::make_unique<FifoSelector>();
}

}  // namespace pompc::replay
