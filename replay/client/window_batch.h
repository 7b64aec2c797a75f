#ifndef POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_
#define POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "proto/replay.pb.h"
#include "replay/wire/columns.h"

namespace pompc::replay {

// B sampled windows of one shard as they came off the wire: owns the message and gives its columns
// as spans, which live as long as the batch. Movable.
class WindowBatch {
 public:
  // The `count` windows of `horizon` rows that were requested. DATA_LOSS if the reply holds others,
  // or columns whose sizes do not follow from count, horizon and `spec`.
  static absl::StatusOr<WindowBatch> FromReply(proto::SampleReply reply, const RowSpec& spec,
                                               uint32_t count, uint32_t horizon) {
    POMPC_RETURN_IF_ERROR(CheckWindows(reply.windows(), spec, count, horizon));
    return WindowBatch(std::move(reply));
  }

  uint32_t count() const { return reply_.windows().count(); }      // B
  uint32_t horizon() const { return reply_.windows().horizon(); }  // H
  // The numbers of a column, [B, per_window(H), count(spec)] (row.h).
  template <typename T>
  std::span<const T> Get(ColumnOf<T> column) const {
    const std::string& bytes = BytesOf(reply_.windows(), column.index);
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // BytesOf of its message.
  const std::string& Bytes(size_t column) const { return BytesOf(reply_.windows(), column); }

  // The shard's state when it drew them.
  const proto::ShardInfo& info() const { return reply_.info(); }

 private:
  explicit WindowBatch(proto::SampleReply reply) : reply_(std::move(reply)) {}

  proto::SampleReply reply_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_
