#ifndef POMPC_REPLAY_DATASET_DATA_SET_H_
#define POMPC_REPLAY_DATASET_DATA_SET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/descriptors.h"
#include "common/io/tensor_header.h"
#include "replay/core/row.h"

namespace pompc::replay {

// Room for the rows that DataSet::Read returns. Not thread-safe.
class RowBuffer {
 private:
  friend class DataSet;
  std::array<std::vector<std::byte>, kRowColumns> columns_;
  std::vector<float> final_observation_;
};

// Rows of episodes in a safetensors file, of which docs/datasets.md describes the tensors. The file
// is read piece by piece: the object keeps 8 bytes for each episode in memory, whatever the size of
// the file. Thread-safe. Errors name the file.
class DataSet {
 public:
  // Opens a file. NOT_FOUND if there is none; DATA_LOSS if it is damaged or no safetensors file;
  // INVALID_ARGUMENT naming each tensor that is missing or unknown, or one of another type or shape
  // than its rows and episodes ask for.
  static absl::StatusOr<std::unique_ptr<const DataSet>> Open(const std::string& path);

  const std::string& path() const { return path_; }
  // Sizes of the rows, which follow from the shapes.
  const RowSpec& spec() const { return spec_; }
  uint64_t rows() const { return rows_; }
  uint64_t episodes() const { return starts_.size(); }
  // True if the rows have plans.
  bool has_plans() const { return has_plans_; }
  const TensorMetadata& metadata() const { return metadata_; }

  // The rows of an episode, 1 at least. REQUIRES: episode < episodes().
  uint64_t EpisodeRows(uint64_t episode) const;

  // Reads `count` rows of an episode from its row `first` on, and its final observation, if it has
  // one, together with its last row. The rows have the columns of a chunk: fillers stand where
  // there is no plan, and no row has a version, because those of another run mean nothing here. The
  // view borrows from `buffer`. DATA_LOSS if the file has shrunk, otherwise the system's reason.
  // REQUIRES: episode < episodes(), 1 <= count, first + count <= EpisodeRows(episode).
  absl::StatusOr<RowView> Read(uint64_t episode, uint64_t first, uint32_t count,
                               RowBuffer* buffer) const;

  // Reads the whole file and checks all numbers as CheckValues does; INVALID_ARGUMENT naming the
  // row (its position in the tensors), the number and what is allowed. Returns a number that
  // identifies the rows: their CRC-32, which depends neither on the file's name nor on the order
  // of its tensors.
  absl::StatusOr<uint32_t> Check(const RowLimits& limits) const;

 private:
  // The position of a tensor's data in the file.
  using Place = std::optional<uint64_t>;

  explicit DataSet(std::string path) : path_(std::move(path)) {}

  absl::Status OpenFile();
  absl::StatusOr<TensorHeader> ReadHeader() const;
  // Takes the sizes from `table` and checks all tensors against them.
  absl::Status TakeTensors(const std::vector<TensorEntry>& table);
  absl::Status TakeSizes(const std::vector<TensorEntry>& table);
  absl::Status TakeColumns(const std::vector<TensorEntry>& table);
  absl::Status TakeEpisodes(const std::vector<TensorEntry>& table);
  absl::Status ReadStarts(const TensorEntry& entry);
  absl::Status ReadHasFinal(const TensorEntry& entry);
  absl::Status ReadAt(uint64_t position, std::size_t bytes, void* to) const;
  absl::Status ReadColumn(size_t column, uint64_t row, uint32_t count, RowBuffer* buffer) const;
  absl::Status ReadFinal(uint64_t episode, RowBuffer* buffer) const;
  uint64_t EndOf(uint64_t episode) const;

  const std::string path_;
  Descriptor file_;
  uint64_t file_bytes_ = 0;
  uint64_t data_begin_ = 0;
  RowSpec spec_;
  uint64_t rows_ = 0;
  bool has_plans_ = false;
  TensorMetadata metadata_;
  std::array<Place, kRowColumns> columns_;
  Place finals_;
  std::vector<uint64_t> starts_;
  // 0 or 1 for each episode; empty if all have a final observation, where there are any.
  std::vector<uint8_t> has_final_;
};

// INVALID_ARGUMENT naming the file, if its rows have other sizes than `spec`, or its metadata names
// another task or action repeat; `task` is empty and `action_repeat` 0 where they are not known.
absl::Status CheckFits(const DataSet& data, const RowSpec& spec, const std::string& task,
                       uint32_t action_repeat);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_DATASET_DATA_SET_H_
