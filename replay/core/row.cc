#include "replay/core/row.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace pompc::replay {
namespace {

// "observation" for the column "observations": messages speak of one row.
absl::string_view Singular(absl::string_view column) {
  if (!column.empty() && column.back() == 's') column.remove_suffix(1);
  return column;
}

absl::Status CheckSize(absl::string_view what, size_t have, size_t want) {
  if (have == want) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " has ", have, " numbers, expected ", want));
}

absl::Status CheckFlag(absl::string_view what, std::byte value) {
  if (value <= std::byte{1}) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is ", std::to_integer<int>(value), ", must be 0 or 1"));
}

// Checks what the column means of its numbers in one row.
absl::Status CheckMeaning(const Column& column, std::span<const std::byte> bytes,
                          const StdRange& plan_std) {
  const absl::string_view what = Singular(column.name);
  const auto floats = [&] {
    return absl::Span<const float>(reinterpret_cast<const float*>(bytes.data()),
                                   bytes.size() / sizeof(float));
  };
  switch (column.meaning) {
    case Meaning::kMagnitude:
      return CheckMagnitudes(what, floats());
    case Meaning::kAction:
      return CheckActions(what, floats());
    case Meaning::kStd:
      return CheckStds(what, plan_std, floats());
    case Meaning::kFlag:
      return CheckFlag(what, bytes.front());
    case Meaning::kUnchecked:
      break;
  }
  return absl::OkStatus();
}

// Rows are checked one by one, and a row's columns in the order of the schema, so that the error
// names the first row that is wrong. The loop over columns is unrolled: it runs for every row that
// arrives, and most columns have a single number.
absl::Status CheckRowValues(const RowSpec& spec, const RowLimits& limits, const RowView& rows,
                            uint32_t i) {
  // A row without a plan has ones for standard deviations, which no planner needs to give.
  const StdRange range = rows.Get<uint8_t>("has_plan")[i] != 0 ? limits.plan_std : StdRange();
  absl::Status status;
  ForEachRowColumn([&](auto c) {
    constexpr Column kColumn = kColumns[c];
    const uint64_t n = kColumn.bytes(spec);
    if (status.ok()) status = CheckMeaning(kColumn, rows.columns[c].subspan(i * n, n), range);
  });
  POMPC_RETURN_IF_ERROR(status);
  // A model without a termination head would learn nothing from such a row and bootstrap through a
  // terminal state, which shows only in the returns.
  if (rows.Get<uint8_t>("terminated")[i] == 0 || limits.terminates) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "terminated is 1, but the run's environment is declared as one that never terminates: set "
      "env.spec.terminates: true, or report the end as a time limit");
}

}  // namespace

absl::Status CheckSizes(const RowSpec& spec, const RowView& rows) {
  // A chunk without rows is only sent to end a segment whose rows have all left before.
  if (rows.count == 0 && rows.final_observation.empty()) {
    return absl::InvalidArgumentError("holds neither rows nor a final observation");
  }
  absl::Status status;
  ForEachRowColumn([&](auto c) {
    constexpr Column kColumn = kColumns[c];
    const uint64_t have = rows.columns[c].size() / kColumn.element_bytes();
    if (status.ok()) status = CheckSize(kColumn.name, have, rows.count * kColumn.count(spec));
  });
  POMPC_RETURN_IF_ERROR(status);
  if (rows.final_observation.empty()) return absl::OkStatus();
  return CheckSize("final_observation", rows.final_observation.size(), spec.observation_size);
}

absl::Status CheckValues(const RowSpec& spec, const RowLimits& limits, const RowView& rows,
                         uint32_t begin, uint64_t first_row) {
  POMPC_DCHECK(CheckSizes(spec, rows).ok());
  for (uint32_t i = begin; i < rows.count; ++i) {
    const absl::Status status = CheckRowValues(spec, limits, rows, i);
    if (!status.ok()) return Annotate(status, absl::StrCat("row ", first_row + i));
    if (rows.Get<uint8_t>("terminated")[i] == 0 || i + 1 == rows.count) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("row ", first_row + i, " is terminated, and rows follow"));
  }
  return CheckMagnitudes("final_observation", rows.final_observation);
}

absl::Status CheckRow(const RowSpec& spec, const RowView& row) {
  POMPC_CHECK_EQ(row.count, 1u);
  absl::Status status;
  ForEachRowColumn([&](auto c) {
    constexpr Column kColumn = kColumns[c];
    const uint64_t want = kColumn.of_plan && !row.has_plan() ? 0 : kColumn.count(spec);
    const std::span<const std::byte> bytes = row.columns[c];
    const uint64_t have = bytes.size() / kColumn.element_bytes();
    if (status.ok()) status = CheckSize(Singular(kColumn.name), have, want);
    if (status.ok() && want > 0) status = CheckMeaning(kColumn, bytes, StdRange());
  });
  return status;
}

absl::Status CheckPlans(const RowSpec& spec, const RowLimits& limits, size_t count,
                        std::span<const float> plan_mean, std::span<const float> plan_std) {
  POMPC_RETURN_IF_ERROR(CheckSize("plan_mean", plan_mean.size(), count * spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckSize("plan_std", plan_std.size(), count * spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckActions("plan_mean", plan_mean));
  return CheckStds("plan_std", limits.plan_std, plan_std);
}

absl::Status CheckPriorities(size_t windows, std::span<const float> priorities) {
  if (priorities.size() != windows || windows > kMaxWindows) {
    return absl::InvalidArgumentError(absl::StrCat(priorities.size(), " priorities of ", windows,
                                                   " windows, allowed are 0 to ", kMaxWindows,
                                                   " and one for each"));
  }
  for (size_t i = 0; i < windows; ++i) {
    if (std::isfinite(priorities[i]) && priorities[i] >= 0) continue;
    return absl::InvalidArgumentError(absl::StrCat("priority ", i, " is ", priorities[i],
                                                   "; allowed are finite numbers from 0 on"));
  }
  return absl::OkStatus();
}

absl::Status CheckObservation(const RowSpec& spec, std::span<const float> observation,
                              absl::string_view what) {
  POMPC_RETURN_IF_ERROR(CheckSize(what, observation.size(), spec.observation_size));
  return CheckMagnitudes(what, observation);
}

void WriteFiller(const Column& column, const RowSpec& spec, std::byte* to) {
  const uint64_t bytes = column.bytes(spec);
  if (column.element != Element::kFloat) {
    std::memset(to, 0, bytes);
    // Bytes count in ones, and numbers of several bytes are little-endian.
    for (uint64_t at = 0; at < bytes; at += column.element_bytes())
      to[at] = std::byte{column.filler};
    return;
  }
  const float filler = column.filler;
  for (uint64_t at = 0; at < bytes; at += sizeof(filler))
    std::memcpy(to + at, &filler, sizeof(filler));
}

uint64_t WindowBytes(const RowSpec& spec, uint32_t horizon) {
  uint64_t bytes = 0;
  for (const Column& column : kColumns) bytes += column.per_window(horizon) * column.bytes(spec);
  return bytes;
}

uint64_t ChunkRowBytes(const RowSpec& spec) {
  // A version travels as a message of its own: tag, length, and two numbers with a tag and at most
  // ten bytes each.
  constexpr uint64_t kVersionBytes = 2 + 2 * 11;
  uint64_t bytes = 0;
  for (size_t c = 0; c < kRowColumns; ++c) {
    const Column& column = kColumns[c];
    bytes += column.element == Element::kVersion ? kVersionBytes : column.bytes(spec);
  }
  return bytes;
}

uint32_t MaxSampleWindows(const RowSpec& spec, uint32_t horizon) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(kMaxWindows, kMaxSampleBytes / WindowBytes(spec, horizon)));
}

}  // namespace pompc::replay
