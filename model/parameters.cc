#include "model/parameters.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"

namespace pompc::model {
namespace {

struct DtypeName {
  at::ScalarType dtype;
  const char* name;   // in safetensors files
  const char* numpy;  // in messages
};

constexpr std::array<DtypeName, 7> kDtypes = {{{at::kDouble, "F64", "float64"},
                                               {at::kFloat, "F32", "float32"},
                                               {at::kBFloat16, "BF16", "bfloat16"},
                                               {at::kLong, "I64", "int64"},
                                               {at::kInt, "I32", "int32"},
                                               {at::kByte, "U8", "uint8"},
                                               {at::kBool, "BOOL", "bool"}}};

const DtypeName* NamesOf(at::ScalarType dtype) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.dtype == dtype) return &entry;
  }
  return nullptr;
}

std::optional<at::ScalarType> DtypeOf(const std::string& name) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

// Bytes a tensor of this shape takes; nothing if a size is negative or the product overflows. A
// size of 0 excuses no overflow of the others: LibTorch multiplies them for the strides.
std::optional<uint64_t> BytesOf(const std::vector<int64_t>& shape, uint64_t item) {
  int64_t bytes = static_cast<int64_t>(item);
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    empty |= size == 0;
    if (size > 0 && __builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

absl::StatusOr<at::Tensor> UnpackOne(const TensorEntry& entry, std::string_view data) {
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", entry.name, "\": ", what));
  };
  const std::optional<at::ScalarType> dtype = DtypeOf(entry.dtype);
  if (!dtype) return bad(absl::StrCat("unknown dtype \"", entry.dtype, "\""));
  const std::optional<uint64_t> bytes = BytesOf(entry.shape, c10::elementSize(*dtype));
  if (!bytes || *bytes != entry.bytes) {
    return bad(absl::StrCat(DescribeTensor(*dtype, entry.shape), " does not take ", entry.bytes,
                            " bytes"));
  }
  if (entry.offset > data.size() || entry.bytes > data.size() - entry.offset) {
    return bad(absl::StrCat("bytes ", entry.offset, " to ", entry.offset + entry.bytes,
                            " lie outside the ", data.size(), " bytes of data"));
  }
  const std::string_view bytes_of_entry = data.substr(entry.offset, entry.bytes);
  // A C++ bool of another value would be undefined behaviour wherever it is read.
  if (*dtype == at::kBool &&
      std::any_of(bytes_of_entry.begin(), bytes_of_entry.end(), [](char b) { return b & ~1; })) {
    return bad("a bool is neither 0 nor 1");
  }
  // A copy, since the data may go before the tensor does, and its offsets need not be aligned.
  at::Tensor tensor = at::empty(entry.shape, *dtype);
  if (entry.bytes > 0) std::memcpy(tensor.data_ptr(), bytes_of_entry.data(), entry.bytes);
  return tensor;
}

}  // namespace

absl::StatusOr<PackedTensors> Pack(const NamedTensors& tensors) {
  PackedTensors packed;
  packed.data.reserve(TotalBytes(tensors));
  for (const NamedTensor& named : tensors) {
    const DtypeName* dtype = NamesOf(named.tensor.scalar_type());
    if (dtype == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", named.name, "\": dtype ",
                                                     c10::toString(named.tensor.scalar_type()),
                                                     " is not supported"));
    }
    const at::Tensor local = named.tensor.detach().to(at::kCPU).contiguous();
    const uint64_t bytes = local.nbytes();
    packed.table.push_back(
        {named.name, dtype->name, local.sizes().vec(), packed.data.size(), bytes});
    if (bytes > 0) packed.data.append(static_cast<const char*>(local.data_ptr()), bytes);
  }
  POMPC_CHECK_EQ(packed.data.size(), TotalBytes(tensors));
  return packed;
}

absl::StatusOr<NamedTensors> Unpack(const std::vector<TensorEntry>& table, std::string_view data) {
  NamedTensors result;
  for (const TensorEntry& entry : table) {
    absl::StatusOr<at::Tensor> tensor = UnpackOne(entry, data);
    if (!tensor.ok()) return tensor.status();
    result.push_back({entry.name, *std::move(tensor)});
  }
  return result;
}

NamedTensors Convert(const NamedTensors& tensors, at::ScalarType from, at::ScalarType to) {
  NamedTensors result = tensors;
  for (NamedTensor& named : result) {
    if (named.tensor.scalar_type() == from) named.tensor = named.tensor.detach().to(to);
  }
  return result;
}

std::string DescribeTensor(at::ScalarType dtype, at::IntArrayRef shape) {
  const DtypeName* names = NamesOf(dtype);
  return absl::StrCat(names != nullptr ? names->numpy : c10::toString(dtype), " (",
                      absl::StrJoin(shape, ", ",
                                    [](std::string* out, int64_t size) {
                                      absl::StrAppend(out, size < 0 ? "any" : absl::StrCat(size));
                                    }),
                      ")");
}

absl::Status CopyTensors(const NamedTensors& source, const NamedTensors& destination) {
  // Everything is compared before anything is copied, so that an error leaves the destination
  // whole.
  std::map<std::string, const at::Tensor*> by_name;
  for (const NamedTensor& named : source) {
    if (!by_name.emplace(named.name, &named.tensor).second) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", named.name, "\" appears twice"));
    }
  }
  for (const NamedTensor& named : destination) {
    const auto found = by_name.find(named.name);
    if (found == by_name.end())
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", named.name, "\" is missing"));
    const at::Tensor& have = *found->second;
    if (have.sizes() != named.tensor.sizes() || have.scalar_type() != named.tensor.scalar_type()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", named.name, "\" is ", DescribeTensor(have.scalar_type(), have.sizes()),
          ": must be ", DescribeTensor(named.tensor.scalar_type(), named.tensor.sizes())));
    }
  }
  // All of the destination is in the source, so a difference in number is a tensor too many.
  if (by_name.size() != destination.size()) {
    for (const NamedTensor& named : destination) by_name.erase(named.name);
    return absl::InvalidArgumentError(
        absl::StrCat("tensor \"", by_name.begin()->first, "\" is unknown"));
  }
  at::NoGradGuard no_grad;
  for (const NamedTensor& named : destination) named.tensor.copy_(*by_name.at(named.name));
  return absl::OkStatus();
}

uint64_t TotalBytes(const NamedTensors& tensors) {
  uint64_t total = 0;
  for (const NamedTensor& named : tensors) total += named.tensor.nbytes();
  return total;
}

}  // namespace pompc::model
