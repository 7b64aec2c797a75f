#ifndef POMPC_PARAMETERS_PARAMETER_SNAPSHOT_H_
#define POMPC_PARAMETERS_PARAMETER_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/values/parameter_version.h"
#include "proto/parameters.pb.h"

namespace pompc::parameters {

// One version of the parameters as it travels: what it is, and its bytes. Copies share the bytes.
struct ParameterSnapshot {
  proto::ParametersDescription description;
  // All tensors as description.tensors says. Never null in a valid snapshot.
  std::shared_ptr<const std::string> data;

  ParameterVersion version() const;
};

// A snapshot of `data`; fills in total_bytes and crc32 of the description. The caller has filled in
// version, run_id, update_count, config, tensors and (for evaluations) keep_seconds. Reads the data
// once, at about 1 GB/s.
ParameterSnapshot MakeSnapshot(proto::ParametersDescription description,
                               std::shared_ptr<const std::string> data);

// Sizes and checksum. DATA_LOSS naming the value and what was expected: the data is of another
// length, has another CRC-32, or a tensor lies outside it.
absl::Status CheckSnapshot(const ParameterSnapshot& snapshot);

// CRC-32 (zlib) of bytes of any length.
uint32_t Crc32(absl::string_view bytes);

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_PARAMETER_SNAPSHOT_H_
