// Named tensors in a fixed order, and their packing into one contiguous buffer for the wire.
#ifndef POMPC_MODEL_PARAMETERS_H_
#define POMPC_MODEL_PARAMETERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/tensor_header.h"
#include "model/torch_compat.h"

namespace pompc::model {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// The order is part of the format: peers of one build list the same names in the same order.
using NamedTensors = std::vector<NamedTensor>;

// The dtypes here are "F64", "F32", "BF16", "I64", "I32", "U8" and "BOOL".
using pompc::TensorEntry;

struct PackedTensors {
  std::vector<TensorEntry> table;
  std::string data;
};

// Copies tensors, from whatever device they are on, into one buffer without gaps, in their order.
// INVALID_ARGUMENT for a dtype that has no safetensors name.
absl::StatusOr<PackedTensors> Pack(const NamedTensors& tensors);

// The inverse: owned CPU tensors. INVALID_ARGUMENT naming the entry whose dtype is unknown, whose
// size does not follow from its shape, whose bytes lie outside the data, or that has a bool other
// than 0 and 1.
absl::StatusOr<NamedTensors> Unpack(const std::vector<TensorEntry>& table, std::string_view data);

// The tensors with those of dtype `from` converted to `to`; the others are shared. Float32 becomes
// bfloat16 by rounding to nearest, ties to even: NaN stays NaN, infinity infinity, and numbers
// beyond bfloat16's largest (3.39e38) become infinity. Bfloat16 becomes float32 exactly.
NamedTensors Convert(const NamedTensors& tensors, at::ScalarType from, at::ScalarType to);

// A tensor's type and shape in NumPy's words, for messages: "float32 (2, 3)". Sizes below 0 are
// shown as "any".
std::string DescribeTensor(at::ScalarType dtype, at::IntArrayRef shape);

// Copies each tensor of `source` into the tensor of the same name in `destination` (across
// devices). Both must hold the same names and shapes: INVALID_ARGUMENT naming the first one
// missing, unknown or of another shape or dtype; then nothing was copied.
absl::Status CopyTensors(const NamedTensors& source, const NamedTensors& destination);

// Size of all tensors in bytes.
uint64_t TotalBytes(const NamedTensors& tensors);

}  // namespace pompc::model

#endif  // POMPC_MODEL_PARAMETERS_H_
