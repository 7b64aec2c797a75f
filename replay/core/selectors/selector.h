#ifndef POMPC_REPLAY_CORE_SELECTORS_SELECTOR_H_
#define POMPC_REPLAY_CORE_SELECTORS_SELECTOR_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace pompc::replay {

// Decides which of the valid windows are drawn. A window's key is the table slot of its first row:
// keys are small, dense and used again after Remove, so implementations may index arrays by them.
// Not thread-safe.
class Selector {
 public:
  using Key = uint32_t;

  virtual ~Selector() = default;

  // REQUIRES: `key` is not present.
  virtual void Insert(Key key) = 0;
  // REQUIRES: `key` is present.
  virtual void Remove(Key key) = 0;
  // Windows present.
  virtual size_t size() const = 0;
  // Fills `keys` with draws, with replacement. The same seed on the same history of calls draws the
  // same keys. REQUIRES: size() > 0.
  virtual void Sample(uint64_t seed, std::span<Key> keys) const = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SELECTORS_SELECTOR_H_
