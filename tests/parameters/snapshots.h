#ifndef POMPC_TESTS_PARAMETERS_SNAPSHOTS_H_
#define POMPC_TESTS_PARAMETERS_SNAPSHOTS_H_

#include <memory>
#include <string>
#include <utility>

#include "common/rpc/wire.h"
#include "parameters/parameter_snapshot.h"

namespace pompc::parameters {

// Parameters of run "run" with one tensor of `bytes` bytes that depend on the version.
inline ParameterSnapshot TestSnapshot(ParameterVersion version, size_t bytes = 100,
                                      uint32_t keep_seconds = 0) {
  proto::ParametersDescription description;
  *description.mutable_version() = ToProto(version);
  description.set_run_id("run");
  description.set_update_count(10 * version.number);
  description.set_keep_seconds(keep_seconds);
  proto::TensorDescription* tensor = description.add_tensors();
  tensor->set_name("weight");
  tensor->set_dtype("F32");
  tensor->add_shape(static_cast<int64_t>(bytes / 4));
  tensor->set_bytes(bytes);
  auto data = std::make_shared<std::string>(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) (*data)[i] = static_cast<char>(i * 31 + version.number);
  return MakeSnapshot(std::move(description), std::move(data));
}

}  // namespace pompc::parameters

#endif  // POMPC_TESTS_PARAMETERS_SNAPSHOTS_H_
