#ifndef POMPC_REPLAY_CORE_NAMED_TABLES_H_
#define POMPC_REPLAY_CORE_NAMED_TABLES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replay/core/selectors/selector.h"

namespace pompc::replay {

// One way to draw the windows of a shard.
struct NamedTableOptions {
  std::string name = "default";
  SelectorOptions selector;
  // A window leaves this table once it was drawn so many times from it; 0: it stays.
  uint32_t max_times_sampled = 0;

  bool operator==(const NamedTableOptions&) const = default;
};

// OK if these make the tables of a shard: at least one, each with a name of its own and a selector
// that exists. INVALID_ARGUMENT naming what is wrong.
absl::Status CheckNamedTables(const std::vector<NamedTableOptions>& tables);

// "hard (PRIORITIZED, alpha 0.6, initial_priority 0, max_times_sampled 3), ...", for messages.
std::string ToText(const std::vector<NamedTableOptions>& tables);

// What one of them holds at one moment.
struct NamedTableCounts {
  std::string name;
  // Windows that it can draw.
  uint64_t windows = 0;
  // A batch is split over shards in proportion to it: the selector's mass, or the draws that are
  // left where these are limited and the selector has no priorities.
  uint64_t mass = 0;
  // The draws that are left to its windows; without a limit, none are counted.
  std::optional<uint64_t> draws_left;
  // Windows that were drawn from it, ever.
  uint64_t sampled_windows = 0;
};

// One draw.
struct Draw {
  Selector::Key key = 0;
  // The probability with which this draw gave this window, among those of the shard.
  float probability = 0;
};

// The named tables of a shard: several ways to draw the same windows, each with a selector, and its
// own count of draws where those are limited. Rows are stored once, whatever the number of tables.
// Any number of threads may call the const methods, and Sample of a table without limit, at a time;
// nobody else may use the object while another method runs.
class NamedTables {
 public:
  using Key = Selector::Key;

  // REQUIRES: CheckNamedTables(tables) is OK.
  explicit NamedTables(const std::vector<NamedTableOptions>& tables);

  // A window becomes valid, or is valid no more: it enters all tables, or leaves those that it has
  // not left yet. REQUIRES: `key` is not valid, or is.
  void Insert(Key key);
  void Remove(Key key);
  // Valid windows.
  uint64_t windows() const { return windows_; }

  // The number of tables.
  size_t size() const { return tables_.size(); }
  // The table called `name`; the first one for "". INVALID_ARGUMENT listing the names there are.
  absl::StatusOr<size_t> Find(absl::string_view name) const;
  // Does the same for a table that must draw by priorities; FAILED_PRECONDITION if it does not.
  absl::StatusOr<size_t> FindPrioritized(absl::string_view name) const;
  // True if the draws of the table are limited: then Sample changes it.
  bool is_limited(size_t table) const { return At(table).options.max_times_sampled > 0; }

  // OK if `count` windows can be drawn. FAILED_PRECONDITION if there is none, or if the windows of
  // a limited table leave it before so many were drawn; the message holds the numbers.
  absl::Status CheckDraws(size_t table, uint64_t count) const;
  // Fills `draws`, in order and with replacement. In a limited table a window that reaches the
  // limit leaves before the next draw. The same seed on the same history draws the same windows.
  // REQUIRES: CheckDraws is OK.
  void Sample(size_t table, uint64_t seed, std::span<Draw> draws);

  // Sets the priority of a window, as Selector::SetPriority. False if it has left the table.
  // REQUIRES: `table` draws by priorities, `key` is valid.
  bool SetPriority(size_t table, Key key, double priority);

  // What the tables hold, in their order, and what one of them does.
  std::vector<NamedTableCounts> counts() const;
  NamedTableCounts counts(size_t table) const;

  // Bytes that such tables keep for each key between 0 and the highest one. REQUIRES:
  // CheckNamedTables(tables) is OK.
  static size_t BytesPerKey(const std::vector<NamedTableOptions>& tables);

 private:
  struct NamedTable {
    explicit NamedTable(const NamedTableOptions& options)
        : options(options), selector(MakeSelector(options.selector)) {}

    // True if the window was drawn as often as it may be. REQUIRES: `key` is valid.
    bool HasLeft(Key key) const {
      return options.max_times_sampled > 0 && draws[key] == options.max_times_sampled;
    }

    const NamedTableOptions options;
    const std::unique_ptr<Selector> selector;
    // These two count in a limited table: the draws of each key since it was inserted, and the
    // draws that are left to the windows present.
    std::vector<uint32_t> draws;
    uint64_t draws_left = 0;
    std::atomic<uint64_t> sampled_windows{0};
  };

  const NamedTable& At(size_t table) const;
  NamedTable& At(size_t table);
  void SampleLimited(NamedTable& table, uint64_t seed, std::span<Draw> draws);

  std::vector<std::unique_ptr<NamedTable>> tables_;
  uint64_t windows_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_NAMED_TABLES_H_
