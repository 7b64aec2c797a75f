#include "parameters/parameter_snapshot.h"

#include <zlib.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/wire.h"

namespace pompc::parameters {

ParameterVersion ParameterSnapshot::version() const { return FromProto(description.version()); }

uint32_t Crc32(absl::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

ParameterSnapshot MakeSnapshot(proto::ParametersDescription description,
                               std::shared_ptr<const std::string> data) {
  POMPC_CHECK(data != nullptr);
  description.set_total_bytes(data->size());
  description.set_crc32(Crc32(*data));
  return {std::move(description), std::move(data)};
}

// Sizes first: they are cheap, and a checksum over gigabytes that were cut off tells less.
absl::Status CheckSnapshot(const ParameterSnapshot& snapshot) {
  const proto::ParametersDescription& description = snapshot.description;
  const uint64_t size = snapshot.data->size();
  const auto lost = [&](const auto&... what) {
    return absl::DataLossError(
        absl::StrCat("parameters ", snapshot.version().ToString(), ": ", what...));
  };
  if (size != description.total_bytes()) {
    return lost(size, " bytes, ", description.total_bytes(), " announced");
  }
  for (const proto::TensorDescription& tensor : description.tensors()) {
    // Compared without a sum, which could overflow.
    if (tensor.offset() > size || tensor.bytes() > size - tensor.offset()) {
      return lost("tensor ", tensor.name(), " at ", tensor.offset(), " with ", tensor.bytes(),
                  " bytes lies outside the ", size, " bytes of data");
    }
  }
  if (const uint32_t crc = Crc32(*snapshot.data); crc != description.crc32()) {
    return lost("CRC-32 is ", crc, ", ", description.crc32(), " announced");
  }
  return absl::OkStatus();
}

}  // namespace pompc::parameters
