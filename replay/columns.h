#ifndef POMPC_REPLAY_COLUMNS_H_
#define POMPC_REPLAY_COLUMNS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/replay.pb.h"
#include "proto/trajectory.pb.h"
#include "replay/core/row.h"
#include "replay/core/shard.h"
#include "replay/core/streams.h"

namespace pompc::replay {

// Between messages and the core's plain structs. Columns are borrowed, not copied.

// The rows of a message; `versions` keeps the one column that has to be copied. INVALID_ARGUMENT if
// a column does not consist of whole numbers. Their count is for the core to check.
absl::StatusOr<RowsView> ToRowsView(const proto::Rows& rows,
                                    std::vector<ParameterVersion>* versions);

// Bytes of an AppendRequest with the largest chunk of such a shard, at most.
uint64_t MaxChunkBytes(const ShardConfig& config);
// INVALID_ARGUMENT naming both sizes if the request has more.
absl::Status CheckChunkBytes(const ShardConfig& config, const proto::AppendRequest& request);

// Makes room in `windows` for `count` windows. INVALID_ARGUMENT if count is not in 1..65536 or the
// reply would be longer than a message may be.
absl::StatusOr<WindowColumns> MakeRoom(const TableOptions& table, uint32_t count,
                                       proto::Windows* windows);

SegmentId ToSegmentId(const proto::StreamId& id);

ShardConfig ToShardConfig(const proto::ConfigureRequest& request);

RowGrant ToRowGrant(const proto::GrantRequest& request);
LearnerStart ToLearnerStart(const proto::LearnerStart& start);

// The answer to a chunk that was acked, refused or left a gap, or of which a part was stored.
proto::AppendReply ToReply(const proto::StreamId& stream, const AppendOutcome& outcome);

// All of it except `streams`.
proto::ShardInfo ToShardInfo(const Shard& shard);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_COLUMNS_H_
