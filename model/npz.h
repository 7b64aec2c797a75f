// Named tensors as .npz files (common/io/npz.h), which NumPy opens.
#ifndef POMPC_MODEL_NPZ_H_
#define POMPC_MODEL_NPZ_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/parameters.h"

namespace pompc::model {

// The file's bytes; tensors may be on any device. INVALID_ARGUMENT naming the tensor whose dtype is
// none of float32, float64, int64 and bool, and as WriteNpz.
absl::StatusOr<std::string> PackNpz(const NamedTensors& tensors);

// "float32 (2, 3)", for messages; sizes below 0 are shown as "any".
std::string DescribeArray(at::ScalarType type, at::IntArrayRef shape);

// Owned CPU tensors, row-major, in the file's order. `content` may be anything; errors as ReadNpz.
absl::StatusOr<NamedTensors> UnpackNpz(std::string_view content);

}  // namespace pompc::model

#endif  // POMPC_MODEL_NPZ_H_
