#ifndef POMPC_REPLAY_DATASET_LAYOUT_H_
#define POMPC_REPLAY_DATASET_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "replay/core/row.h"

// The tensors of a data set: rows of episodes in a safetensors file (docs/datasets.md). A tensor of
// each column of a row has the column's name and the shape [N, count], or [N] where the column has
// one number; rows of an episode stand one behind the other.
namespace pompc::replay::dataset {

// Positions of the first rows of the episodes, [E], ascending from 0.
inline constexpr char kEpisodeStarts[] = "episode_starts";
// The observation after the last row of each episode, [E, O].
inline constexpr char kFinalObservations[] = "final_observations";
// Says which episodes have one, [E]; absent: all.
inline constexpr char kHasFinalObservation[] = "has_final_observation";
// Where exported episodes come from, [E, kSourceNumbers]: shard, actor index, incarnation,
// environment, episode, segment, number of the first row in its segment. Not read.
inline constexpr char kEpisodeSources[] = "episode_sources";
inline constexpr int64_t kSourceNumbers = 7;
// Addresses of exported rows in their shard, [N]. Not read.
inline constexpr char kAddresses[] = "addresses";

// Keys of the metadata, all of them optional.
inline constexpr char kFormatKey[] = "format";
inline constexpr char kFormat[] = "pompc rows 1";
inline constexpr char kTaskKey[] = "task";
inline constexpr char kActionRepeatKey[] = "action_repeat";

// The type of a column's numbers as a safetensors name; that of a version is that of each of its
// two numbers.
inline std::string TypeOf(const Column& column) {
  switch (column.element) {
    case Element::kFloat:
      return "F32";
    case Element::kByte:
      return "U8";
    case Element::kUint64:
    case Element::kVersion:
      break;
  }
  return "U64";
}

// The shape of `rows` rows of a column.
inline std::vector<int64_t> ShapeOf(const Column& column, const RowSpec& spec, uint64_t rows) {
  std::vector<int64_t> shape = {static_cast<int64_t>(rows)};
  // A column with one number for each row has it without a dimension of its own.
  if (column.count != &One) shape.push_back(static_cast<int64_t>(column.count(spec)));
  // A version is two numbers: incarnation and number.
  if (column.element == Element::kVersion) shape.push_back(2);
  return shape;
}

}  // namespace pompc::replay::dataset

#endif  // POMPC_REPLAY_DATASET_LAYOUT_H_
