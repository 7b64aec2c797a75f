#ifndef POMPC_PARAMETERS_SNAPSHOT_MESSAGES_H_
#define POMPC_PARAMETERS_SNAPSHOT_MESSAGES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/support/byte_buffer.h"
#include "parameters/parameter_snapshot.h"

// A snapshot as the messages of a parameter stream: its description, then its data in pieces. One
// half is for the sender, the other for the receiver.

namespace pompc::parameters {

// A serialised ParametersMessage with the description of `snapshot`.
grpc::ByteBuffer EncodeDescription(const ParameterSnapshot& snapshot);

// A serialised ParametersMessage with `bytes` of the snapshot's data from `offset` on. The data is
// not copied: the buffer refers to it and keeps it alive, so that any number of streams send the
// same bytes. REQUIRES: offset + bytes <= data size, bytes > 0.
grpc::ByteBuffer EncodeData(const ParameterSnapshot& snapshot, uint64_t offset, size_t bytes);

// Puts the messages of one parameter stream together. Not thread-safe. After an error the stream is
// to be dropped, and with it the assembler.
class SnapshotAssembler {
 public:
  // Versions of more than `max_bytes` are refused.
  explicit SnapshotAssembler(uint64_t max_bytes) : max_bytes_(max_bytes) {}

  // Takes the next message and returns the version that it completes, if any. DATA_LOSS, naming
  // what is wrong, when a message is out of order or of another version, or when the complete data
  // is not what was announced (CheckSnapshot). RESOURCE_EXHAUSTED for a version that is too large.
  absl::StatusOr<std::optional<ParameterSnapshot>> Add(const proto::ParametersMessage& message);

  // True if a version has begun and is not complete.
  bool in_progress() const { return data_ != nullptr; }

 private:
  absl::Status Begin(const proto::ParametersDescription& description);
  absl::Status Append(const proto::ParametersData& data);

  const uint64_t max_bytes_;
  proto::ParametersDescription description_;
  // The bytes that have arrived of the version in progress; null between versions.
  std::shared_ptr<std::string> data_;
};

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_SNAPSHOT_MESSAGES_H_
