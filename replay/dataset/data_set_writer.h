#ifndef POMPC_REPLAY_DATASET_DATA_SET_WRITER_H_
#define POMPC_REPLAY_DATASET_DATA_SET_WRITER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/tensor_header.h"
#include "replay/core/row.h"
#include "replay/core/streams.h"

namespace pompc::replay {

// Writes rows of many episodes, in whatever order they come, as a data set (docs/datasets.md) in
// which each episode stands in one piece. Until Finish the rows are in files without names beside
// the one to be made. Memory is 24 bytes for each run of consecutive rows that came together, and
// about 200 for each segment, whatever the rows hold. Not thread-safe. Errors name the file and the
// system's reason.
class DataSetWriter {
 public:
  // The segment that rows come from.
  struct Source {
    uint32_t shard = 0;
    SegmentId segment;
  };

  // Opens the temporary files. The file itself appears with Finish. INVALID_ARGUMENT if `path` is
  // empty; FAILED_PRECONDITION if it is a device or a pipe.
  static absl::StatusOr<std::unique_ptr<DataSetWriter>> Create(const std::string& path,
                                                               const RowSpec& spec,
                                                               const TensorMetadata& metadata);
  ~DataSetWriter();

  // Takes rows first_row, first_row + 1, ... of a segment, with their addresses, and the final
  // observation behind them, if there is one. Rows that are missing between two calls make two
  // episodes of one segment. REQUIRES: CheckSizes(spec, rows) is OK, one address for each row; no
  // row of a segment was given before.
  absl::Status Append(const Source& source, uint64_t first_row, std::span<const uint64_t> addresses,
                      const RowView& rows);

  // Writes the file, in the order of shards, actors, environments and episodes, atomically and
  // durably. FAILED_PRECONDITION if there are no rows. Nothing may be called after it.
  absl::Status Finish();

  uint64_t rows() const { return rows_; }
  // Episodes in the file; known after Finish.
  uint64_t episodes() const { return episodes_.size(); }

 private:
  class Spool;
  // Consecutive rows of a segment that stand together in the temporary files.
  struct Run {
    uint32_t source = 0;
    uint32_t count = 0;
    uint64_t first_row = 0;
    uint64_t position = 0;  // of its first row among the rows taken
  };
  struct Final {
    uint64_t row = 0;       // the number of rows before it in its segment
    uint64_t position = 0;  // among the final observations taken
  };
  // An episode of the file: the runs `begin` .. end-1.
  struct Episode {
    size_t begin = 0;
    size_t end = 0;
    uint64_t rows = 0;
  };
  using Key = std::tuple<uint32_t, uint32_t, uint64_t, uint32_t, uint64_t, uint32_t>;

  DataSetWriter(std::string path, const RowSpec& spec, TensorMetadata metadata);
  uint32_t SourceNumber(const Source& source);
  void MakeEpisodes();
  std::vector<TensorEntry> Table() const;
  absl::Status WriteTo(int fd);
  // The parts of the file behind its header, in the order of Table().
  absl::Status WriteRuns(Spool& spool, int fd);
  absl::Status WriteEpisodes(int fd);
  absl::Status WriteFinals(int fd);
  const Final* FinalOf(const Episode& episode) const;

  const std::string path_;
  const RowSpec spec_;
  const TensorMetadata metadata_;
  // The numbers of each column of the rows, of their addresses, and of the final observations.
  std::vector<std::unique_ptr<Spool>> columns_;
  std::unique_ptr<Spool> addresses_;
  std::unique_ptr<Spool> finals_;
  uint64_t rows_ = 0;
  uint64_t final_count_ = 0;
  std::map<Key, uint32_t> numbers_;
  std::vector<Source> sources_;
  std::map<uint32_t, Final> final_of_;  // by source
  std::vector<Run> runs_;
  std::vector<Episode> episodes_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_DATASET_DATA_SET_WRITER_H_
