#ifndef POMPC_TESTS_REPLAY_LEDGER_WINDOWS_H_
#define POMPC_TESTS_REPLAY_LEDGER_WINDOWS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "replay/client/window_batch.h"
#include "tests/replay/ledger/script.h"

namespace pompc::replay::ledger {

// The numbers of a batch that a shard has drawn, copied.
class DrawnWindows {
 public:
  explicit DrawnWindows(const WindowBatch& batch);

  size_t count() const { return count_; }
  size_t horizon() const { return horizon_; }
  // A column, [count, per_window(H), count(spec)].
  template <typename T>
  std::span<const T> Get(ColumnOf<T> column) const {
    const std::vector<std::byte>& bytes = columns_[column.index];
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }

 private:
  size_t count_, horizon_;
  std::array<std::vector<std::byte>, kNumColumns> columns_;
};

// One of them.
struct SeenWindow {
  // Its first row.
  RowName name;
  // The addresses of its states, [H + 1], borrowed from the batch.
  std::span<const uint64_t> addresses;
};

// Compares every number of window `b` with the script. DATA_LOSS naming the row and what differs.
absl::StatusOr<SeenWindow> CheckWindow(const Script& script, const DrawnWindows& windows, size_t b);

}  // namespace pompc::replay::ledger

#endif  // POMPC_TESTS_REPLAY_LEDGER_WINDOWS_H_
