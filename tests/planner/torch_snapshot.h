#ifndef POMPC_TESTS_PLANNER_TORCH_SNAPSHOT_H_
#define POMPC_TESTS_PLANNER_TORCH_SNAPSHOT_H_

#include <memory>
#include <string>
#include <utility>

#include "common/config/run_config.h"
#include "common/rpc/wire.h"
#include "model/parameters.h"
#include "model/torch_compat.h"
#include "model/world_model.h"
#include "parameters/parameter_snapshot.h"

namespace pompc::planner {

// `tensors` as a learner would publish them.
inline parameters::ParameterSnapshot SnapshotOf(const proto::RunConfig& config,
                                                ParameterVersion version,
                                                const model::NamedTensors& tensors) {
  proto::ParametersDescription description;
  *description.mutable_version() = ToProto(version);
  description.set_run_id("run");
  *description.mutable_config() = config;
  model::PackedTensors packed = *model::Pack(tensors);
  for (const model::TensorEntry& entry : packed.table) {
    proto::TensorDescription* tensor = description.add_tensors();
    tensor->set_name(entry.name);
    tensor->set_dtype(entry.dtype);
    for (const int64_t size : entry.shape) tensor->add_shape(size);
    tensor->set_offset(entry.offset);
    tensor->set_bytes(entry.bytes);
  }
  return parameters::MakeSnapshot(std::move(description),
                                  std::make_shared<std::string>(std::move(packed.data)));
}

// Fresh parameters; `seed` draws them.
inline model::NamedTensors TorchParameters(const proto::RunConfig& config, uint64_t seed) {
  model::WorldModel world = model::WorldModel::Create(*config::Derive(config), at::kCPU, seed);
  // Fresh values and rewards are zero everywhere, and every plan as good as another.
  world.flat().add_(at::sin(at::arange(world.NumParameters(), at::kFloat)), 0.03);
  return world.Parameters();
}

inline parameters::ParameterSnapshot TorchSnapshot(const proto::RunConfig& config,
                                                   ParameterVersion version, uint64_t seed) {
  return SnapshotOf(config, version, TorchParameters(config, seed));
}

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_TORCH_SNAPSHOT_H_
