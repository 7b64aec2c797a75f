#ifndef POMPC_CLI_REPLAY_LISTING_H_
#define POMPC_CLI_REPLAY_LISTING_H_

#include <cstdint>
#include <ostream>

#include "absl/status/status.h"
#include "cli/replay/source.h"
#include "replay/client/row_reader.h"

namespace pompc::cli {

// What `pompc replay info|episodes|rows` prints: tables for people or, with `json`, one JSON object
// for each shard, episode or row, one a line. Errors are those of reading the shards.

// The state of each shard.
void PrintShards(const ReplaySource& source, bool json, std::ostream& out);

// The episodes of which rows are selected: rows that are stored, and how they end. Memory is about
// 200 bytes for each.
absl::Status PrintEpisodes(const ReplaySource& source, const replay::RowSelection& selection,
                           bool json, std::ostream& out);

// The selected rows, `limit` at most (0: all).
absl::Status PrintRows(const ReplaySource& source, const replay::RowSelection& selection,
                       uint64_t limit, bool json, std::ostream& out);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPLAY_LISTING_H_
