#include "replay/core/selectors/arrival_order.h"

namespace pompc::replay {

std::unique_ptr<Selector> MakeLifoSelector(const SelectorOptions& /*options*/) {
  return std::make_unique<ArrivalOrder>(ArrivalOrder::End::kNewest);
}

}  // namespace pompc::replay
