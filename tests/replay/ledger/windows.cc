#include "tests/replay/ledger/windows.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::replay::ledger {
namespace {

// Part `i` of a column that holds `count` parts of `size` numbers for each window.
template <typename T>
std::span<const T> Part(std::span<const T> column, size_t b, size_t count, size_t i, size_t size) {
  return column.subspan((b * count + i) * size, size);
}

bool Same(std::span<const float> a, std::span<const float> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

absl::Status Differs(const RowName& name, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(name.ToString(), ": another ", what));
}

// What a window shows behind a terminal state, which is also what it shows of a final observation.
Row Absorbing(const Row& final) {
  Row row;
  row.observation = final.observation;
  row.action = {};
  row.plan_mean = {};
  row.plan_std.fill(1);
  row.terminated = 1;
  return row;
}

bool SamePlan(const DrawnWindows& batch, size_t b, size_t t, const Row& row) {
  const size_t states = batch.horizon() + 1;
  constexpr size_t kActions = kSpec.action_size;
  return batch.Get<uint8_t>("has_plan")[b * states + t] == row.has_plan &&
         Same(Part(batch.Get<float>("plan_mean"), b, states, t, kActions), row.plan_mean) &&
         Same(Part(batch.Get<float>("plan_std"), b, states, t, kActions), row.plan_std);
}

absl::Status CheckState(const Script& script, const DrawnWindows& batch, size_t b, size_t t,
                        const RowName& name, const Row& row) {
  const size_t horizon = batch.horizon();
  if (!Same(Part(batch.Get<float>("observations"), b, horizon + 1, t, kSpec.observation_size),
            row.observation)) {
    return Differs(name, "observation");
  }
  const bool final = name.row >= script.EpisodeOf(name.source, name.episode).rows;
  const bool refreshed =
      !final && SamePlan(batch, b, t, script.MakeRow(name, Script::Plan::kRefreshed));
  if (!refreshed && !SamePlan(batch, b, t, row)) return Differs(name, "plan");
  if (t == horizon) return absl::OkStatus();
  if (!Same(Part(batch.Get<float>("actions"), b, horizon, t, kSpec.action_size), row.action)) {
    return Differs(name, "action");
  }
  if (batch.Get<float>("rewards")[b * horizon + t] != row.reward) return Differs(name, "reward");
  if (batch.Get<uint8_t>("terminated")[b * horizon + t] != row.terminated) {
    return Differs(name, "end");
  }
  return absl::OkStatus();
}

}  // namespace

DrawnWindows::DrawnWindows(const WindowBatch& batch)
    : count_(batch.count()), horizon_(batch.horizon()) {
  for (size_t c = 0; c < kNumColumns; ++c) {
    if (kColumns[c].in_window == InWindow::kNever) continue;
    columns_[c].resize(batch.bytes(c));
    batch.CopyTo(c, columns_[c].data());
  }
}

absl::StatusOr<SeenWindow> CheckWindow(const Script& script, const DrawnWindows& batch, size_t b) {
  const size_t horizon = batch.horizon();
  const auto observations = batch.Get<float>("observations");
  POMPC_ASSIGN_OR_RETURN(const RowName first, script.Read(Part(observations, b, horizon + 1, 0,
                                                               kSpec.observation_size)));
  const Episode episode = script.EpisodeOf(first.source, first.episode);
  if (first.row >= episode.rows) {
    return absl::DataLossError(absl::StrCat(first.ToString(), " begins a window and is final"));
  }
  const bool terminal = episode.end == Episode::End::kTerminal;
  const auto addresses = Part(batch.Get<uint64_t>("addresses"), b, 1, 0, horizon + 1);
  RowName name = first;
  for (size_t t = 0; t <= horizon; ++t) {
    // Behind a terminal state the window stays where it is; nothing else may end before its window.
    const uint32_t row = first.row + static_cast<uint32_t>(t);
    name.row = terminal ? std::min(row, episode.rows) : row;
    if (name.row >= episode.items()) {
      return absl::DataLossError(absl::StrCat(first.ToString(), ": a window beyond its episode"));
    }
    const Row made = script.MakeRow(name);
    const Row expected = name.row == episode.rows ? Absorbing(made) : made;
    POMPC_RETURN_IF_ERROR(CheckState(script, batch, b, t, name, expected));
    const bool stays = t > 0 && row > episode.rows;
    if (t > 0 && (stays ? addresses[t] != addresses[t - 1] : addresses[t] <= addresses[t - 1])) {
      return Differs(name, "address");
    }
  }
  if (terminal && first.row + horizon > episode.rows && first.row > 0) {
    return absl::DataLossError(absl::StrCat(first.ToString(), ": a window that is too short"));
  }
  if (batch.Get<ParameterVersion>("versions")[b] != script.MakeRow(first).version) {
    return Differs(first, "version");
  }
  return SeenWindow{first, addresses};
}

}  // namespace pompc::replay::ledger
