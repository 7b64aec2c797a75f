#ifndef POMPC_BENCH_PLANNER_PLANNER_CONFIG_H_
#define POMPC_BENCH_PLANNER_PLANNER_CONFIG_H_

#include <string>

#include "bench/sized_config.h"

namespace pompc::planner {

// A model of this size; `tiny` plans as presets/quickstart.textproto says.
inline proto::RunConfig PlannerConfig(const std::string& size) {
  proto::RunConfig config = bench::SizedConfig(size);
  if (size == "tiny") {
    config.mutable_planner()->set_iterations(4);
    config.mutable_planner()->set_samples(128);
    config.mutable_planner()->set_policy_samples(8);
    config.mutable_planner()->set_elites(16);
  }
  return config;
}

}  // namespace pompc::planner

#endif  // POMPC_BENCH_PLANNER_PLANNER_CONFIG_H_
