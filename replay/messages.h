#ifndef POMPC_REPLAY_MESSAGES_H_
#define POMPC_REPLAY_MESSAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "proto/replay.pb.h"
#include "replay/core/shard.h"

namespace pompc::replay {

// Converts between messages and the core's plain structs; rows and windows are left to
// wire/.

// Bytes of an AppendRequest with the largest chunk of such a shard, at most.
uint64_t MaxChunkBytes(const ShardConfig& config);
// INVALID_ARGUMENT naming both sizes if the request has more.
absl::Status CheckChunkBytes(const ShardConfig& config, const proto::AppendRequest& request);

// INVALID_ARGUMENT if `count` windows are not in 1..65536 or the reply would be longer than a
// message may be.
absl::Status CheckWindowCount(uint32_t count, const TableOptions& table);

SegmentId ToSegmentId(const proto::StreamId& id);

// `encoded` of the config is the request.
ShardConfig ToShardConfig(const proto::ConfigureRequest& request);
// Makes it again of what `encoded` was. DATA_LOSS if that is no request.
absl::StatusOr<ShardConfig> ReadShardConfig(const std::string& encoded);

// The opening of a shard whose number, 0 if an older learner sends none, came with addresses.
Opening ToOpening(uint64_t shard_incarnation, uint64_t opening);

// INVALID_ARGUMENT for a version that was published before the seed phase was over.
absl::StatusOr<RowGrant> ToRowGrant(const proto::GrantRequest& request);
LearnerStart ToLearnerStart(const proto::LearnerStart& start);

// The answer to a chunk that was acked, refused or left a gap, or of which a part was stored.
proto::AppendReply ToReply(const proto::StreamId& stream, const AppendOutcome& outcome);

// The shard as Describe tells of it. REQUIRES: the shard is configured.
proto::ShardDescription ToShardDescription(const ShardConfig& config, const ShardCounts& counts);

// The rows of the shard that a request selects. INVALID_ARGUMENT for a max_rows out of range;
// otherwise as Shard::ReadRows.
absl::StatusOr<proto::ReadRowsReply> ReadStoredRows(const Shard& shard,
                                                    const proto::ReadRowsRequest& request);

// All of it except `streams`.
proto::ShardInfo ToShardInfo(const Shard& shard);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_MESSAGES_H_
