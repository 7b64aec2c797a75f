#include "model/parameters.h"

#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pompc::model {
namespace {

struct DtypeName {
  at::ScalarType dtype;
  const char* name;
};

constexpr std::array<DtypeName, 7> kDtypes = {{{at::kDouble, "F64"},
                                               {at::kFloat, "F32"},
                                               {at::kBFloat16, "BF16"},
                                               {at::kLong, "I64"},
                                               {at::kInt, "I32"},
                                               {at::kByte, "U8"},
                                               {at::kBool, "BOOL"}}};

const char* NameOf(at::ScalarType dtype) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.dtype == dtype) return entry.name;
  }
  return nullptr;
}

std::optional<at::ScalarType> DtypeOf(const std::string& name) {
  for (const DtypeName& entry : kDtypes) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

std::string ShapeText(at::IntArrayRef shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// Bytes a tensor of this shape takes; nothing if a size is negative or the product overflows.
std::optional<uint64_t> BytesOf(const std::vector<int64_t>& shape, uint64_t item) {
  uint64_t bytes = item;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes))
      return std::nullopt;
  }
  return bytes;
}

absl::StatusOr<at::Tensor> UnpackOne(const TensorEntry& entry, std::string_view data) {
  const auto bad = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", entry.name, "\": ", what));
  };
  const std::optional<at::ScalarType> dtype = DtypeOf(entry.dtype);
  if (!dtype) return bad(absl::StrCat("unknown dtype \"", entry.dtype, "\""));
  const std::optional<uint64_t> bytes = BytesOf(entry.shape, c10::elementSize(*dtype));
  if (!bytes || *bytes != entry.bytes) {
    return bad(absl::StrCat("shape ", ShapeText(entry.shape), " of ", entry.dtype,
                            " does not take ", entry.bytes, " bytes"));
  }
  if (entry.offset > data.size() || entry.bytes > data.size() - entry.offset) {
    return bad(absl::StrCat("bytes ", entry.offset, " to ", entry.offset + entry.bytes,
                            " lie outside the ", data.size(), " bytes of data"));
  }
  at::Tensor tensor = at::empty(entry.shape, *dtype);
  if (entry.bytes > 0) std::memcpy(tensor.data_ptr(), data.data() + entry.offset, entry.bytes);
  return tensor;
}

}  // namespace

absl::StatusOr<PackedTensors> Pack(const NamedTensors& tensors) {
  PackedTensors packed;
  packed.data.reserve(TotalBytes(tensors));
  for (const NamedTensor& named : tensors) {
    const char* dtype = NameOf(named.tensor.scalar_type());
    if (dtype == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", named.name, "\": dtype ",
                                                     c10::toString(named.tensor.scalar_type()),
                                                     " is not supported"));
    }
    const at::Tensor local = named.tensor.detach().to(at::kCPU).contiguous();
    const uint64_t bytes = local.nbytes();
    packed.table.push_back({named.name, dtype, local.sizes().vec(), packed.data.size(), bytes});
    if (bytes > 0) packed.data.append(static_cast<const char*>(local.data_ptr()), bytes);
  }
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

absl::Status CopyTensors(const NamedTensors& source, const NamedTensors& destination) {
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
          "tensor \"", named.name, "\" is ", c10::toString(have.scalar_type()), " ",
          ShapeText(have.sizes()), ": must be ", c10::toString(named.tensor.scalar_type()), " ",
          ShapeText(named.tensor.sizes())));
    }
  }
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
