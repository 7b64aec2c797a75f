#ifndef POMPC_REPLAY_WIRE_SAMPLE_REPLY_H_
#define POMPC_REPLAY_WIRE_SAMPLE_REPLY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "proto/replay.pb.h"
#include "replay/core/row.h"

// SampleReply, by far the largest message of replay, without the copies that protobuf would make of
// its columns: a shard gathers windows where gRPC sends them from, and a client copies columns from
// where gRPC received them. On the wire it is an ordinary SampleReply.

namespace pompc::replay {

// A SampleReply that is being made: room for its columns, then the message. Not thread-safe.
class SampleReplyWriter {
 public:
  // Makes room for `count` windows of `horizon` rows. REQUIRES: count > 0, MaxSampleWindows allows
  // it.
  SampleReplyWriter(const RowSpec& spec, uint32_t horizon, uint32_t count);

  // The room, to be filled before Finish: it is not cleared. Lives as long as this object.
  const WindowColumns& columns() const { return columns_; }

  // The message: the columns as they are now, and whatever `rest` holds beside them. To be called
  // once.
  grpc::ByteBuffer Finish(const proto::SampleReply& rest) &&;

 private:
  // Bytes begin .. end-1 of the memory are sent.
  struct Piece {
    size_t begin = 0, end = 0;
  };

  std::unique_ptr<std::byte[]> memory_;
  size_t memory_bytes_ = 0;
  std::vector<Piece> pieces_;
  WindowColumns columns_;
};

// A received SampleReply: keeps gRPC's buffers and knows where in them the columns are. Movable;
// const calls are thread-safe.
class SampleReplyReader {
 public:
  // DATA_LOSS if the bytes are no SampleReply. What its columns hold is not looked at.
  static absl::StatusOr<SampleReplyReader> Parse(const grpc::ByteBuffer& message);

  // The message without its columns.
  const proto::SampleReply& rest() const { return rest_; }

  // Bytes of a column; 0 if the message does not have it.
  size_t bytes(size_t column) const { return columns_.at(column).bytes; }
  // Copies a column to `to`, which has room for bytes(column).
  void CopyTo(size_t column, std::byte* to) const;

 private:
  // The place of a column in the message.
  struct Place {
    size_t begin = 0, bytes = 0;
  };

  std::vector<grpc::Slice> slices_;
  // Position in the message at which each slice begins.
  std::vector<size_t> begins_;
  std::array<Place, kNumColumns> columns_ = {};
  proto::SampleReply rest_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_WIRE_SAMPLE_REPLY_H_
