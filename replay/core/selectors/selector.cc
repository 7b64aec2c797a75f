#include "replay/core/selectors/selector.h"

#include "absl/strings/ascii.h"
#include "common/base/check.h"
#include "replay/core/selectors/list.h"

namespace pompc::replay {

// The function of each selector is defined in the file that has the selector's name.
#define POMPC_DECLARE_SELECTOR(Name) \
  std::unique_ptr<Selector> Make##Name##Selector(const SelectorOptions& options);
POMPC_SELECTORS(POMPC_DECLARE_SELECTOR)
#undef POMPC_DECLARE_SELECTOR

void Selector::SetPriority(Key /*key*/, double /*priority*/) {
  POMPC_CHECK(has_priorities(), "the selector draws without priorities");
}

const std::vector<std::string>& SelectorNames() {
  // Never destroyed: shards may outlive static objects.
  static const auto* names = new std::vector<std::string>{
#define POMPC_SELECTOR_NAME(Name) absl::AsciiStrToUpper(#Name),
      POMPC_SELECTORS(POMPC_SELECTOR_NAME)
#undef POMPC_SELECTOR_NAME
  };
  return *names;
}

std::unique_ptr<Selector> MakeSelector(const SelectorOptions& options) {
#define POMPC_MAKE_SELECTOR(Name) \
  if (options.name == absl::AsciiStrToUpper(#Name)) return Make##Name##Selector(options);
  POMPC_SELECTORS(POMPC_MAKE_SELECTOR)
#undef POMPC_MAKE_SELECTOR
  POMPC_CHECK(false, options.name);
  return nullptr;
}

}  // namespace pompc::replay
