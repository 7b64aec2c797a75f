#ifndef POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_
#define POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "replay/core/opening.h"
#include "replay/wire/sample_reply.h"

namespace pompc::replay {

// B sampled windows of one shard as they came off the wire: owns the message and copies columns out
// of it. Movable; const calls are thread-safe.
class WindowBatch {
 public:
  // The `count` windows of `horizon` rows that were requested. DATA_LOSS if the message is no reply
  // to that: it holds other windows, columns whose sizes do not follow from count, horizon and
  // `spec`, or a probability that no window can be drawn with.
  static absl::StatusOr<WindowBatch> Parse(const grpc::ByteBuffer& message, const RowSpec& spec,
                                           uint32_t count, uint32_t horizon);

  uint32_t count() const { return reply_.rest().windows().count(); }      // B
  uint32_t horizon() const { return reply_.rest().windows().horizon(); }  // H

  // Bytes of a column of kColumns (row.h): [B, per_window(H), count(spec)] numbers.
  size_t bytes(size_t column) const { return reply_.bytes(column); }
  // Copies the column to `to`, which has room for bytes(column): the one copy between the network
  // and a batch. REQUIRES: `column` is a column of windows.
  void CopyTo(size_t column, std::byte* to) const;
  // A copy of a column's numbers, for the small columns.
  template <typename T>
  std::vector<T> Numbers(ColumnOf<T> column) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<T> numbers(bytes(column.index) / sizeof(T));
    CopyTo(column.index, reinterpret_cast<std::byte*>(numbers.data()));
    return numbers;
  }

  // The shard's state when it drew them.
  const proto::ShardInfo& info() const { return reply_.rest().info(); }
  // What their addresses belong to. Shards of an earlier version of the program send no opening.
  Opening opening() const {
    return Opening(info().shard_incarnation(), std::max<uint64_t>(1, info().opening()));
  }

 private:
  explicit WindowBatch(SampleReplyReader reply) : reply_(std::move(reply)) {}

  SampleReplyReader reply_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CLIENT_WINDOW_BATCH_H_
