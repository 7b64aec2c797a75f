#ifndef POMPC_REPLAY_CORE_ROW_H_
#define POMPC_REPLAY_CORE_ROW_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/values/number_check.h"
#include "common/values/parameter_version.h"

namespace pompc::replay {

// Sizes of the numbers in a row.
struct RowSpec {
  uint32_t observation_size = 0;  // O
  uint32_t action_size = 0;       // A

  bool operator==(const RowSpec&) const = default;
};

// What one number of a column is in memory and in messages.
enum class Element : uint8_t { kFloat, kByte, kUint64, kVersion };

// What the numbers of a column mean, which decides how they are checked.
enum class Meaning : uint8_t {
  kMagnitude,  // at most kMaxMagnitude in magnitude
  kAction,     // in [-1, 1]
  kStd,        // a standard deviation of the planner
  kFlag,       // 0 or 1
  kUnchecked,
};

// The rows of a window of H rows for which it holds the column.
enum class InWindow : uint8_t {
  kNever,
  kRows,    // its H rows
  kStates,  // its H rows and the observation after them
  kFirst,   // its first row
};

// The number of numbers that a column has in one row.
constexpr uint64_t One(const RowSpec&) { return 1; }
constexpr uint64_t ObservationSize(const RowSpec& spec) { return spec.observation_size; }
constexpr uint64_t ActionSize(const RowSpec& spec) { return spec.action_size; }

struct Column {
  // Name of its field in proto::Rows and proto::Windows.
  absl::string_view name;
  Element element;
  uint64_t (*count)(const RowSpec&);
  Meaning meaning;
  InWindow in_window;
  // True: the column is part of the plan, and rows of the seed phase do not have it.
  bool of_plan;
  // The number that stands where the column has none: in rows without a plan, and behind a terminal
  // state.
  uint8_t filler;

  constexpr uint64_t element_bytes() const {
    constexpr uint64_t kBytes[] = {sizeof(float), 1, sizeof(uint64_t), sizeof(ParameterVersion)};
    return kBytes[static_cast<size_t>(element)];
  }
  // Bytes of the column in one row.
  constexpr uint64_t bytes(const RowSpec& spec) const { return count(spec) * element_bytes(); }
  // The number of times that a window of `horizon` rows holds the column.
  constexpr uint64_t per_window(uint64_t horizon) const {
    if (in_window == InWindow::kNever) return 0;
    if (in_window == InWindow::kFirst) return 1;
    return in_window == InWindow::kRows ? horizon : horizon + 1;
  }
};

// The schema of a row. Checks, copies, messages, the table's slots and windows all follow from this
// table: a new column needs one line here and a field of that name in proto/trajectory.proto. Row t
// is: the observation o_t, the action executed there, the reward that it earned, whether a true
// terminal state followed (never the time limit), and the plan made at o_t.
inline constexpr Column kColumns[] = {
    {"observations", Element::kFloat, ObservationSize, Meaning::kMagnitude, InWindow::kStates,
     false, 0},
    {"actions", Element::kFloat, ActionSize, Meaning::kAction, InWindow::kRows, false, 0},
    {"rewards", Element::kFloat, One, Meaning::kMagnitude, InWindow::kRows, false, 0},
    {"terminated", Element::kByte, One, Meaning::kFlag, InWindow::kRows, false, 1},
    {"has_plan", Element::kByte, One, Meaning::kFlag, InWindow::kStates, true, 0},
    {"plan_mean", Element::kFloat, ActionSize, Meaning::kAction, InWindow::kStates, true, 0},
    {"plan_std", Element::kFloat, ActionSize, Meaning::kStd, InWindow::kStates, true, 1},
    {"plan_value", Element::kFloat, One, Meaning::kMagnitude, InWindow::kNever, true, 0},
    {"versions", Element::kVersion, One, Meaning::kUnchecked, InWindow::kFirst, true, 0},
    // What windows tell of their rows besides. Rows on their way to a shard do not have it.
    {"addresses", Element::kUint64, One, Meaning::kUnchecked, InWindow::kStates, false, 0},
    {"draws", Element::kUint64, One, Meaning::kUnchecked, InWindow::kFirst, false, 0},
    {"probabilities", Element::kFloat, One, Meaning::kUnchecked, InWindow::kFirst, false, 0},
};
inline constexpr size_t kNumColumns = std::size(kColumns);
// The first so many are the columns of a row.
inline constexpr size_t kRowColumns = kNumColumns - 3;
static_assert(kColumns[kRowColumns].name == "addresses", "what only windows hold stands last");

// Names a column in code. A name that is none, or whose column does not hold T, does not compile.
template <typename T>
struct ColumnOf {
  // Implicit, so that a call names the column by its text alone: row.Get<float>("rewards").
  consteval ColumnOf(const char* name) {  // NOLINT(google-explicit-constructor)
    while (index < kNumColumns && kColumns[index].name != name) ++index;
    constexpr Element kElement = std::is_same_v<T, float>      ? Element::kFloat
                                 : std::is_same_v<T, uint8_t>  ? Element::kByte
                                 : std::is_same_v<T, uint64_t> ? Element::kUint64
                                                               : Element::kVersion;
    static_assert(kElement != Element::kVersion || std::is_same_v<T, ParameterVersion>);
    if (index == kNumColumns || kColumns[index].element != kElement) throw "no such column";
  }
  size_t index = 0;
};

// Calls `f` with the number of each column of a row as a std::integral_constant. The calls are
// unrolled, so that copies of columns with one number compile to single moves.
template <typename F>
constexpr void ForEachRowColumn(F f) {
  [&]<size_t... I>(std::index_sequence<I...>) { (f(std::integral_constant<size_t, I>()), ...); }
  (std::make_index_sequence<kRowColumns>());
}

// Borrowed numbers of several columns.
template <typename Byte>
struct Columns {
  // The bytes of each column; empty for those that are not there.
  std::array<std::span<Byte>, kNumColumns> columns;

  template <typename T>
  using Number = std::conditional_t<std::is_const_v<Byte>, const T, T>;
  template <typename T>
  std::span<Number<T>> Get(ColumnOf<T> column) const {
    const std::span<Byte> bytes = columns[column.index];
    return {reinterpret_cast<Number<T>*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <typename T>
  void Set(ColumnOf<T> column, std::span<Number<T>> numbers) {
    columns[column.index] = {reinterpret_cast<Byte*>(numbers.data()), numbers.size_bytes()};
  }
  // Does the same for a column of one number.
  template <typename T>
  void Set(ColumnOf<T> column, Number<T>& number) {
    Set<T>(column, std::span<Number<T>>(&number, 1));
  }
  template <typename T>
  void Set(ColumnOf<T> column, const T&& number) = delete;
};

// Consecutive rows of one segment: one row on its way from an environment, or a chunk on its way
// from a message into a table. Columns are [count, column.count(spec)]. In a single row on its way
// from an environment, all columns of the plan are empty where there is none; in a chunk fillers
// stand there.
struct RowView : Columns<const std::byte> {
  // Number of rows; 0 only together with a final observation.
  uint32_t count = 1;
  // Observation after the last row, [O], where the segment ends with these rows; otherwise empty.
  std::span<const float> final_observation;

  // True if this single row has a plan.
  bool has_plan() const { return !Get<uint8_t>("has_plan").empty(); }
};

// The first `count` of `rows`, without a final observation. REQUIRES: count <= rows.count, columns
// of the sizes that `spec` asks for.
inline RowView FirstRows(const RowSpec& spec, const RowView& rows, uint32_t count) {
  POMPC_CHECK_LE(count, rows.count);
  RowView first;
  first.count = count;
  for (size_t c = 0; c < kRowColumns; ++c) {
    POMPC_CHECK_EQ(rows.columns[c].size(), rows.count * kColumns[c].bytes(spec));
    first.columns[c] = rows.columns[c].first(count * kColumns[c].bytes(spec));
  }
  return first;
}

// Room for windows, to be filled. Columns are [count, per_window(H), column.count(spec)].
struct WindowColumns : Columns<std::byte> {
  uint32_t count = 0;
};

// What a run lets rows hold, beside their sizes.
struct RowLimits {
  // Rows may be terminated: env.spec.terminates.
  bool terminates = true;
  // Range of the plans' standard deviations.
  StdRange plan_std;
};

// Checks that the columns of a chunk have the sizes that `rows.count` and `spec` ask for.
// INVALID_ARGUMENT naming the column and both sizes. If it is OK, every index below is in range.
absl::Status CheckSizes(const RowSpec& spec, const RowView& rows);

// Checks that the numbers of rows `begin` .. count-1 and of the final observation are what their
// columns mean, that standard deviations and terminated rows keep to `limits`, and that at most the
// last row is terminated, for nothing follows a terminal state. INVALID_ARGUMENT naming the row (as
// `first_row` + position), the number and its value. REQUIRES: CheckSizes is OK.
absl::Status CheckValues(const RowSpec& spec, const RowLimits& limits, const RowView& rows,
                         uint32_t begin, uint64_t first_row);

// Makes both checks of a single row for its writer, which leaves the limits to the shard. All
// columns of the plan must be there, or none.
absl::Status CheckRow(const RowSpec& spec, const RowView& row);

// Checks sizes and numbers of the plans of `count` rows, plan_mean and plan_std [count, A].
absl::Status CheckPlans(const RowSpec& spec, const RowLimits& limits, size_t count,
                        std::span<const float> plan_mean, std::span<const float> plan_std);

// Checks the priorities of so many windows, at most kMaxWindows: one for each, finite and not
// negative.
absl::Status CheckPriorities(size_t windows, std::span<const float> priorities);

// Checks size and numbers of an observation; `what` names it in the message.
absl::Status CheckObservation(const RowSpec& spec, std::span<const float> observation,
                              absl::string_view what);

// Writes the filler of a column in one row, column.bytes(spec) bytes.
void WriteFiller(const Column& column, const RowSpec& spec, std::byte* to);

// Bytes of one window of `horizon` rows in such columns.
uint64_t WindowBytes(const RowSpec& spec, uint32_t horizon);

// Bytes of one row in a chunk on its way to a shard, at most.
uint64_t ChunkRowBytes(const RowSpec& spec);

// Bytes of the new plan of one row on its way to a shard, with `action_size` numbers each.
inline uint64_t PlanUpdateBytes(uint64_t action_size) { return 8 + 8 * action_size; }

// Bytes of windows that are handed out at once, at most: what fits into one message.
inline constexpr uint64_t kMaxSampleBytes = (uint64_t{64} << 20) - 4096;

// Windows that one message may draw or bar.
inline constexpr uint32_t kMaxWindows = 65536;

// Windows that may be drawn at once.
uint32_t MaxSampleWindows(const RowSpec& spec, uint32_t horizon);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_ROW_H_
