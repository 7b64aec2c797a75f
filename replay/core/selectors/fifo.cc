#include "replay/core/selectors/arrival_order.h"

namespace pompc::replay {

std::unique_ptr<Selector> MakeFifoSelector(const SelectorOptions& /*options*/) {
  return std::make_unique<ArrivalOrder>(ArrivalOrder::End::kOldest);
}

}  // namespace pompc::replay
