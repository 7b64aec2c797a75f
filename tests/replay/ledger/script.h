#ifndef POMPC_TESTS_REPLAY_LEDGER_SCRIPT_H_
#define POMPC_TESTS_REPLAY_LEDGER_SCRIPT_H_

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "replay/core/row.h"

namespace pompc::replay::ledger {

// The sizes of all rows of the ledger. An observation begins with the five numbers of a RowName.
inline constexpr RowSpec kSpec{.observation_size = 8, .action_size = 2};

// One environment of one start of a writer process.
struct Source {
  uint32_t writer = 0;  // the actor index
  uint32_t incarnation = 0;
  uint32_t environment = 0;

  auto operator<=>(const Source&) const = default;
};

// A row of an episode, numbered from 0, or its final observation, whose number is that of its rows.
// Every number is below 2^24, so that a float holds it exactly.
struct RowName {
  Source source;
  uint32_t episode = 0;
  uint32_t row = 0;

  auto operator<=>(const RowName&) const = default;
  // "writer 2.5 environment 1 episode 7 row 3".
  std::string ToString() const;
};

// How an episode goes.
struct Episode {
  enum class End { kTimeLimit, kTerminal, kCut };

  uint32_t rows = 1;
  End end = End::kTimeLimit;

  bool has_final() const { return end != End::kCut; }
  // The number of items, which are its rows and its final observation.
  uint32_t items() const { return rows + (has_final() ? 1 : 0); }
  // The number of windows of `horizon` rows that can be drawn once all of it is stored.
  uint32_t windows(uint32_t horizon) const;
};

// All numbers of one row.
struct Row {
  std::array<float, kSpec.observation_size> observation;
  std::array<float, kSpec.action_size> action, plan_mean, plan_std;
  float reward = 0;
  float plan_value = 0;
  uint8_t terminated = 0;
  uint8_t has_plan = 0;
  ParameterVersion version;

  // Borrows from the row, which has no plan columns if it has no plan.
  RowView View() const;
};

// What all writers write: every number of every row, and the length of every episode, is a function
// of a seed and of names. So a reader that meets a row anywhere knows what it must look like.
class Script {
 public:
  // What the referee writes over the plans of rows.
  enum class Plan { kOriginal, kRefreshed };

  explicit Script(uint64_t seed) : seed_(seed) {}

  Episode EpisodeOf(const Source& source, uint32_t episode) const;
  // The row, or the final observation in `observation` of a row whose other numbers are unused.
  Row MakeRow(const RowName& name, Plan plan = Plan::kOriginal) const;
  // The name that an observation says it has. DATA_LOSS if the numbers are not those of its name,
  // or if its episode has no such row.
  absl::StatusOr<RowName> Read(std::span<const float> observation) const;

 private:
  // 64 bits for the purpose `use` of a name.
  uint64_t Bits(const RowName& name, uint64_t use) const;

  const uint64_t seed_;
};

// The items of a source in the order in which it writes them.
class ItemSequence {
 public:
  ItemSequence(const Script& script, const Source& source)
      : script_(script), source_(source), episode_(script.EpisodeOf(source, 0)) {}

  RowName name() const { return {source_, number_, item_}; }
  const Episode& episode() const { return episode_; }
  bool is_final() const { return item_ == episode_.rows; }
  void Next();

 private:
  const Script script_;
  const Source source_;
  uint32_t number_ = 0;
  uint32_t item_ = 0;
  Episode episode_;
};

// What a writer knows to be stored: for each source the number of its first items that a shard has
// acknowledged. It is kept in files named "writer-W-I.ledger", a line "ENVIRONMENT ITEMS" for each
// acknowledgement, of which the last one counts; the first lines say which environments there are.
using Ledger = std::map<Source, uint64_t>;

// The name of the file of one start of a writer.
std::string LedgerName(uint32_t writer, uint32_t incarnation);
// Reads all ledgers of a folder. A last line without an end is left out: its writer was killed.
absl::StatusOr<Ledger> ReadLedgers(const std::string& folder);

}  // namespace pompc::replay::ledger

#endif  // POMPC_TESTS_REPLAY_LEDGER_SCRIPT_H_
