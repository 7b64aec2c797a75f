#include "model/npz.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/io/npz.h"

namespace pompc::model {
namespace {

struct TypePair {
  at::ScalarType dtype;
  NpyType type;
};
constexpr std::array<TypePair, 4> kTypes = {{{at::kFloat, NpyType::kFloat32},
                                             {at::kDouble, NpyType::kFloat64},
                                             {at::kLong, NpyType::kInt64},
                                             {at::kBool, NpyType::kBool}}};

std::optional<NpyType> TypeOf(at::ScalarType dtype) {
  for (const TypePair& pair : kTypes) {
    if (pair.dtype == dtype) return pair.type;
  }
  return std::nullopt;
}

at::ScalarType DtypeOf(NpyType type) {
  return std::find_if(kTypes.begin(), kTypes.end(),
                      [&](const TypePair& pair) { return pair.type == type; })
      ->dtype;
}

at::Tensor ToTensor(const NpzArray& array) {
  std::vector<int64_t> shape = array.shape;
  if (array.fortran_order) std::reverse(shape.begin(), shape.end());
  at::Tensor tensor = at::empty(shape, DtypeOf(array.type));
  if (array.type == NpyType::kBool) {
    // Any byte but 0 is true; a bool of another value would be no valid one.
    std::transform(array.data.begin(), array.data.end(), tensor.data_ptr<bool>(),
                   [](char byte) { return byte != 0; });
  } else if (!array.data.empty()) {
    std::memcpy(tensor.data_ptr(), array.data.data(), array.data.size());
  }
  if (!array.fortran_order) return tensor;
  std::vector<int64_t> reversed(shape.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  return tensor.permute(reversed).contiguous();
}

}  // namespace

absl::StatusOr<std::string> PackNpz(const NamedTensors& tensors) {
  std::vector<NpzArray> arrays;
  // Keeps the bytes that arrays point into.
  std::vector<at::Tensor> local;
  for (const NamedTensor& named : tensors) {
    const std::optional<NpyType> type = TypeOf(named.tensor.scalar_type());
    if (!type) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", named.name, "\" is ",
                                                     c10::toString(named.tensor.scalar_type()),
                                                     ": must be float32, float64, int64 or bool"));
    }
    local.push_back(named.tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& tensor = local.back();
    NpzArray array;
    array.name = named.name;
    array.type = *type;
    array.shape = tensor.sizes().vec();
    array.data = {static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()};
    arrays.push_back(std::move(array));
  }
  return WriteNpz(arrays);
}

std::string DescribeArray(at::ScalarType type, at::IntArrayRef shape) {
  const std::optional<NpyType> known = TypeOf(type);
  std::vector<std::string> sizes;
  for (const int64_t size : shape) sizes.push_back(size < 0 ? "any" : absl::StrCat(size));
  return absl::StrCat(known ? NpyTypeName(*known) : c10::toString(type), " (",
                      absl::StrJoin(sizes, ", "), ")");
}

absl::StatusOr<NamedTensors> UnpackNpz(std::string_view content) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<NpzArray> arrays, ReadNpz(content));
  NamedTensors tensors;
  for (const NpzArray& array : arrays) tensors.push_back({array.name, ToTensor(array)});
  return tensors;
}

}  // namespace pompc::model
