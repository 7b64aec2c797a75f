// The header of files of named tensors in the safetensors format: 8 bytes with the length of a JSON
// text (little-endian), that text
// {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {string: string}}, and
// behind it the raw little-endian data.
#ifndef POMPC_COMMON_IO_TENSOR_HEADER_H_
#define POMPC_COMMON_IO_TENSOR_HEADER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pompc {

// One tensor in packed data. `dtype` is a safetensors name: "F32", "I64", "U8", "BOOL", ...
struct TensorEntry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  // Position and number of its bytes (little-endian, row-major) in the data.
  uint64_t offset = 0;
  uint64_t bytes = 0;

  bool operator==(const TensorEntry&) const = default;
};

using TensorMetadata = std::map<std::string, std::string>;

struct TensorHeader {
  // In the order of their offsets, which cover the data without gaps.
  std::vector<TensorEntry> table;
  TensorMetadata metadata;
  // Position of the data in the file.
  uint64_t data_begin = 0;
};

// Bytes of the length field with which a file begins.
inline constexpr uint64_t kTensorLengthBytes = 8;

// Returns what stands before the data: the length field and the JSON text, padded so that the data
// begins at a multiple of 8 bytes.
std::string MakeTensorHeader(const std::vector<TensorEntry>& table, const TensorMetadata& metadata);

// Returns the length of the JSON text of a file of `file_bytes` bytes which begins with
// `beginning`. DATA_LOSS if that cannot be such a file.
absl::StatusOr<uint64_t> TensorHeaderBytes(absl::string_view beginning, uint64_t file_bytes);

// Reads the JSON text of a file of `file_bytes` bytes. DATA_LOSS naming what is wrong: a text of
// another form, or tensors that do not cover the data exactly. Sizes are not compared with shapes
// and types.
absl::StatusOr<TensorHeader> ParseTensorHeader(absl::string_view text, uint64_t file_bytes);

}  // namespace pompc

#endif  // POMPC_COMMON_IO_TENSOR_HEADER_H_
