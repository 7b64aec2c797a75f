#ifndef POMPC_REPLAY_CLIENT_DATA_SET_IMPORT_H_
#define POMPC_REPLAY_CLIENT_DATA_SET_IMPORT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "proto/replay.pb.h"
#include "replay/client/shard_client.h"
#include "replay/dataset/data_set.h"

namespace pompc::replay {

// A data set whose numbers were checked.
struct CheckedDataSet {
  std::shared_ptr<const DataSet> data;
  // What DataSet::Check returned.
  uint32_t id = 0;
};

// Brings the part of a data set that belongs to one shard there, piece by piece: of S shards, shard
// s gets the episodes s, s + S, s + 2 S, ... It asks the shard first how much it has, so that what
// was imported before is not sent again. Not thread-safe.
class DataSetImport {
 public:
  // REQUIRES: shard < shards.
  DataSetImport(CheckedDataSet data_set, uint32_t shard, uint32_t shards);

  // Makes one call to the shard: the first asks, each of the others sends up to a megabyte. Nothing
  // is lost by an error; the next call tries again. Errors as ShardClient::ImportRows, and of the
  // file. Only INVALID_ARGUMENT, which names the row, will not pass. REQUIRES: !done().
  absl::Status Step(ShardClient* client);

  bool done() const { return rows_done_ == rows_ && asked_; }
  // Rows of the part, and those that the shard has.
  uint64_t rows() const { return rows_; }
  uint64_t rows_done() const { return rows_done_; }

 private:
  void ContinueAt(const proto::ImportRowsReply& position);
  // The next chunks, up to a full request.
  absl::Status MakeChunks(std::vector<proto::ImportedRows>* chunks);
  uint64_t EpisodeRows() const { return data_set_.data->EpisodeRows(episode_); }

  const CheckedDataSet data_set_;
  const uint32_t shard_;
  const uint32_t shards_;
  uint64_t rows_ = 0;
  uint64_t rows_done_ = 0;
  bool asked_ = false;
  // The next row to send is row `row_` of this episode.
  uint64_t episode_;
  uint64_t row_ = 0;
  RowBuffer buffer_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_DATA_SET_IMPORT_H_
