#ifndef POMPC_PARAMETERS_MESSAGE_ENCODING_H_
#define POMPC_PARAMETERS_MESSAGE_ENCODING_H_

#include <cstddef>
#include <cstdint>

#include "grpcpp/support/byte_buffer.h"
#include "parameters/parameter_snapshot.h"

namespace pompc::parameters {

// A serialised ParametersMessage with the description of `snapshot`.
grpc::ByteBuffer EncodeDescription(const ParameterSnapshot& snapshot);

// A serialised ParametersMessage with `bytes` of the snapshot's data from `offset` on. The data is
// not copied: the buffer refers to it and keeps it alive, so that any number of streams send the
// same bytes. REQUIRES: offset + bytes <= data size, bytes > 0.
grpc::ByteBuffer EncodeData(const ParameterSnapshot& snapshot, uint64_t offset, size_t bytes);

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_MESSAGE_ENCODING_H_
