// Arrays in the .npz format of NumPy: an uncompressed zip archive with one .npy file for each.
#ifndef POMPC_COMMON_IO_NPZ_H_
#define POMPC_COMMON_IO_NPZ_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc {

// Types of an array's numbers, all little-endian: "<f4", "<f8", "<i8", "|b1" in NumPy's notation.
enum class NpyType { kFloat32, kFloat64, kInt64, kBool };

// "float32", "float64", "int64", "bool".
const char* NpyTypeName(NpyType type);

struct NpzArray {
  std::string name;
  NpyType type = NpyType::kFloat32;
  // Empty: a single number.
  std::vector<int64_t> shape;
  // Column-major: the first index changes fastest. Written arrays are row-major.
  bool fortran_order = false;
  // The numbers, not aligned; points into the file's bytes or into the caller's.
  std::string_view data;
};

// The file's bytes, as numpy.savez writes them; the same arrays give the same bytes.
// INVALID_ARGUMENT for data whose size does not follow from type and shape, for column-major
// arrays, and for what WriteZip refuses (4 GiB and more).
absl::StatusOr<std::string> WriteNpz(const std::vector<NpzArray>& arrays);

// The arrays of a file, in its order. `content` may be anything, and must outlive the result.
// DATA_LOSS or INVALID_ARGUMENT as ReadZip; DATA_LOSS naming the array whose header is no .npy
// header or whose size is not what it says, INVALID_ARGUMENT naming the one of another type.
absl::StatusOr<std::vector<NpzArray>> ReadNpz(std::string_view content);

}  // namespace pompc

#endif  // POMPC_COMMON_IO_NPZ_H_
