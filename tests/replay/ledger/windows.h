#ifndef POMPC_TESTS_REPLAY_LEDGER_WINDOWS_H_
#define POMPC_TESTS_REPLAY_LEDGER_WINDOWS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/replay/ledger/script.h"
#include "tests/replay/window_batch_testing.h"

namespace pompc::replay::ledger {

// A window that a shard has drawn.
struct SeenWindow {
  // Its first row.
  RowName name;
  // The addresses of its states, [H + 1], borrowed from the columns.
  std::span<const uint64_t> addresses;
};

// Compares every number of window `b` of a batch with the script. DATA_LOSS naming the row and what
// differs.
absl::StatusOr<SeenWindow> CheckWindow(const Script& script, const BatchColumns& batch, size_t b);

}  // namespace pompc::replay::ledger

#endif  // POMPC_TESTS_REPLAY_LEDGER_WINDOWS_H_
