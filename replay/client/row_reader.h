#ifndef POMPC_REPLAY_CLIENT_ROW_READER_H_
#define POMPC_REPLAY_CLIENT_ROW_READER_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/endpoint.h"
#include "proto/replay.pb.h"
#include "replay/core/row.h"
#include "replay/core/streams.h"

namespace pompc::replay {

// Consecutive rows of one segment at consecutive addresses, as a shard holds them. Borrowed from
// the reader for the time of one call of its visitor.
struct RowRun {
  SegmentId segment;
  // Number of the first row in its segment.
  uint64_t first_row = 0;
  // Address of the first row; the others follow, the final observation last.
  uint64_t address = 0;
  // The rows, with the columns that were requested; the others are empty.
  RowView rows;
};

// The rows that a reader wants.
struct RowSelection {
  // Addresses from .. to-1.
  uint64_t from = 0;
  uint64_t to = std::numeric_limits<uint64_t>::max();
  // Each one that is set leaves out the rows of all others.
  std::optional<uint32_t> actor_index;
  std::optional<uint32_t> environment;
  std::optional<uint64_t> episode;
  // False: rewards, terminations, whether there are plans, and versions alone.
  bool all_columns = true;
};

// Reads what a shard holds, whatever run it serves, for those who look into replay. The shard goes
// on meanwhile. Every call has a deadline. Not thread-safe.
class RowReader {
 public:
  // Connects and asks what the shard is. UNAVAILABLE naming the address if it does not answer, or
  // if no learner has configured it.
  static absl::StatusOr<std::unique_ptr<RowReader>> Connect(const rpc::Endpoint& shard,
                                                            absl::Duration timeout);
  ~RowReader();

  // The shard when it was connected.
  const proto::ShardDescription& description() const { return description_; }
  RowSpec spec() const;
  // Lets the shard make a snapshot of its rows, and returns its folder. Blocks until RocksDB has
  // written what it has in memory, some 20 MB; kSnapshotTimeout at most. Statuses as the call in
  // proto/replay.proto.
  static constexpr absl::Duration kSnapshotTimeout = absl::Minutes(2);
  absl::StatusOr<std::string> Snapshot(const std::string& name);
  const rpc::Endpoint& endpoint() const { return endpoint_; }

  // Visits the selected rows in the order of their addresses, up to the newest at the time of the
  // call, piece by piece; what is evicted meanwhile is left out. A visitor that returns false ends
  // it. DATA_LOSS if an answer is not what was asked for, the visitor's error, or that of a call.
  using Visitor = std::function<absl::StatusOr<bool>(const RowRun&)>;
  absl::Status Read(const RowSelection& selection, const Visitor& visit);

 private:
  class Calls;
  RowReader(rpc::Endpoint endpoint, std::unique_ptr<Calls> calls);

  // Visits the runs of one answer; false if the visitor wants no more.
  absl::StatusOr<bool> Visit(const proto::ReadRowsReply& reply, const RowSelection& selection,
                             const Visitor& visit) const;

  const rpc::Endpoint endpoint_;
  const std::unique_ptr<Calls> calls_;
  proto::ShardDescription description_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_ROW_READER_H_
