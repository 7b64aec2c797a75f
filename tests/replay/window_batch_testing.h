#ifndef POMPC_TESTS_REPLAY_WINDOW_BATCH_TESTING_H_
#define POMPC_TESTS_REPLAY_WINDOW_BATCH_TESTING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

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

// A batch that is looked at number by number: copies of all its columns.
class BatchColumns {
 public:
  explicit BatchColumns(const WindowBatch& batch)
      : count_(batch.count()), horizon_(batch.horizon()) {
    for (size_t c = 0; c < kNumColumns; ++c) {
      columns_[c].resize(batch.bytes(c));
      if (!columns_[c].empty()) batch.CopyTo(c, columns_[c].data());
    }
  }

  uint32_t count() const { return count_; }
  uint32_t horizon() const { return horizon_; }
  // The numbers of a column; they live as long as this object.
  template <typename T>
  std::span<const T> Get(ColumnOf<T> column) const {
    const std::vector<std::byte>& bytes = columns_[column.index];
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }

 private:
  const uint32_t count_, horizon_;
  std::array<std::vector<std::byte>, kNumColumns> columns_;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_WINDOW_BATCH_TESTING_H_
