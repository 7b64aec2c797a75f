#ifndef POMPC_REPLAY_CORE_SELECTORS_SELECTOR_H_
#define POMPC_REPLAY_CORE_SELECTORS_SELECTOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pompc::replay {

// Decides which of the valid windows are drawn. A window's key is the table slot of its first row:
// keys are small, dense and used again after Remove, so implementations may index arrays by them.
// Any number of threads may call the const methods at a time; nobody else may use the object while
// a method that is not const runs.
class Selector {
 public:
  using Key = uint32_t;

  // The highest priority that can be set. Higher ones count as this one (TD-MPC's bound).
  static constexpr double kMaxPriority = 1e4;

  virtual ~Selector() = default;

  // REQUIRES: `key` is not present.
  virtual void Insert(Key key) = 0;
  // REQUIRES: `key` is present.
  virtual void Remove(Key key) = 0;
  // Windows present.
  virtual size_t size() const = 0;

  // Fills `keys` with draws, each of them independent of the others and with replacement. The same
  // seed on the same history of calls draws the same keys. REQUIRES: size() > 0.
  virtual void Sample(uint64_t seed, std::span<Key> keys) const = 0;
  // The probability of `key` in each draw of Sample. REQUIRES: `key` is present.
  virtual double Probability(Key key) const = 0;
  // The sum of what the windows count in a draw, 1 each where they count alike. A batch is split
  // over shards in proportion to it, which makes the draws those of one selector that has the
  // windows of all shards.
  virtual uint64_t mass() const { return size(); }

  // True if it draws by priorities, which SetPriority sets.
  virtual bool has_priorities() const { return false; }
  // `priority` is the priority of `key` from now on. REQUIRES: has_priorities(), `key` is present,
  // `priority` is finite and not negative.
  virtual void SetPriority(Key key, double priority);

  // Bytes that it keeps for each key between 0 and the highest one, rounded up.
  virtual size_t bytes_per_key() const = 0;
};

// What a selector is made with.
struct SelectorOptions {
  // One of SelectorNames().
  std::string name = "UNIFORM";
  // The rest concerns selectors with priorities. A window is drawn in proportion to its priority to
  // the power of alpha.
  double alpha = 0.6;
  // Priority of a window before one is set; 0: the highest that was ever set, and 1 before any was.
  double initial_priority = 0;

  bool operator==(const SelectorOptions&) const = default;
};

// Names of all selectors: those of the files in this folder that replay/CMakeLists.txt lists, in
// capitals.
const std::vector<std::string>& SelectorNames();

// REQUIRES: options.name is one of SelectorNames().
std::unique_ptr<Selector> MakeSelector(const SelectorOptions& options);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SELECTORS_SELECTOR_H_
