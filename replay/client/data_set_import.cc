#include "replay/client/data_set_import.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/message_size.h"
#include "replay/wire/columns.h"

namespace pompc::replay {
namespace {

// Rows that a shard takes in one chunk.
constexpr uint64_t kMaxChunkRows = 1024;

}  // namespace

DataSetImport::DataSetImport(CheckedDataSet data_set, uint32_t shard, uint32_t shards)
    : data_set_(std::move(data_set)), shard_(shard), shards_(shards), episode_(shard) {
  POMPC_CHECK(data_set_.data != nullptr);
  POMPC_CHECK_LT(shard, shards);
  for (uint64_t episode = shard; episode < data_set_.data->episodes(); episode += shards) {
    rows_ += data_set_.data->EpisodeRows(episode);
  }
}

absl::Status DataSetImport::Step(ShardClient* client) {
  POMPC_CHECK(!done());
  std::vector<proto::ImportedRows> chunks;
  if (asked_) POMPC_RETURN_IF_ERROR(MakeChunks(&chunks));
  absl::StatusOr<proto::ImportRowsReply> position =
      client->ImportRows(data_set_.id, std::move(chunks));
  if (!position.ok()) return Annotate(position.status(), data_set_.data->path());
  // The shard alone says from where to continue, whatever became of earlier calls.
  ContinueAt(*position);
  asked_ = true;
  return absl::OkStatus();
}

void DataSetImport::ContinueAt(const proto::ImportRowsReply& position) {
  const uint64_t episodes = data_set_.data->episodes();
  rows_done_ = 0;
  episode_ = shard_;
  row_ = 0;
  if (!position.has_episode()) return;
  for (; episode_ < std::min(position.episode(), episodes); episode_ += shards_) {
    rows_done_ += EpisodeRows();
  }
  // With another number of shards the shard had other episodes.
  if (episode_ >= episodes || episode_ != position.episode()) return;
  row_ = position.ended() ? EpisodeRows() : std::min(position.next_row(), EpisodeRows());
  rows_done_ += row_;
  if (row_ < EpisodeRows()) return;
  // An episode without a final observation has no other end than its last row.
  episode_ += shards_;
  row_ = 0;
}

absl::Status DataSetImport::MakeChunks(std::vector<proto::ImportedRows>* chunks) {
  const RowSpec& spec = data_set_.data->spec();
  const uint64_t rows_at_once = rpc::ItemsPerRequest(ChunkRowBytes(spec), kMaxChunkRows);
  uint64_t bytes = 0;
  uint64_t episode = episode_, row = row_;
  while (episode < data_set_.data->episodes() && bytes < rpc::kFullRequestBytes) {
    const uint64_t left = data_set_.data->EpisodeRows(episode) - row;
    const auto count = static_cast<uint32_t>(std::min(rows_at_once, left));
    POMPC_ASSIGN_OR_RETURN(const RowView rows, data_set_.data->Read(episode, row, count, &buffer_));
    proto::ImportedRows& chunk = chunks->emplace_back();
    chunk.set_episode(episode);
    chunk.set_first_row(row);
    FillRows(rows, chunk.mutable_rows());
    // One chunk may be as large as a request, and a message has a bound.
    bytes += chunk.ByteSizeLong();
    if (bytes > rpc::kFullRequestBytes && chunks->size() > 1) {
      chunks->pop_back();
      break;
    }
    row += count;
    if (row < data_set_.data->EpisodeRows(episode)) continue;
    episode += shards_;
    row = 0;
  }
  return absl::OkStatus();
}

}  // namespace pompc::replay
