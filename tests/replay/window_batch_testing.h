#ifndef POMPC_TESTS_REPLAY_WINDOW_BATCH_TESTING_H_
#define POMPC_TESTS_REPLAY_WINDOW_BATCH_TESTING_H_

#include <string>

#include "replay/client/window_batch.h"

namespace pompc::replay {

// The batch that a client makes of such a reply to its request for `count` windows of `horizon`
// rows.
inline absl::StatusOr<WindowBatch> BatchOf(const proto::SampleReply& reply, const RowSpec& spec,
                                           uint32_t count, uint32_t horizon) {
  const grpc::Slice bytes(reply.SerializeAsString());
  return WindowBatch::Parse(grpc::ByteBuffer(&bytes, 1), spec, count, horizon);
}

// The bytes of one of its columns.
inline std::string BytesOf(const WindowBatch& batch, size_t column) {
  std::string bytes(batch.bytes(column), '\0');
  batch.CopyTo(column, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_WINDOW_BATCH_TESTING_H_
