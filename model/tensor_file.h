// Files of named tensors in the safetensors format (common/io/tensor_header.h), read and written
// whole. Any safetensors reader opens them.
#ifndef POMPC_MODEL_TENSOR_FILE_H_
#define POMPC_MODEL_TENSOR_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/parameters.h"

namespace pompc::model {

using Metadata = TensorMetadata;

struct TensorFile {
  // In the order of their offsets in the file, which is the order they were written in.
  NamedTensors tensors;
  Metadata metadata;
};

// Writes a file atomically and durably (WriteFileAtomically). INVALID_ARGUMENT as Pack; other
// errors name the path and the system's reason.
absl::Status WriteTensorFile(const std::string& path, const NamedTensors& tensors,
                             const Metadata& metadata);

// Reads a whole file, whoever wrote it, into CPU tensors. NOT_FOUND when there is none; DATA_LOSS
// naming the path and what is wrong when it is truncated, corrupt or in another format, or when a
// tensor has a dtype that Pack does not know.
absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path);

}  // namespace pompc::model

#endif  // POMPC_MODEL_TENSOR_FILE_H_
