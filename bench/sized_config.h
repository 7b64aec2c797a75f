// The run that benches of model and update compute with.
#ifndef POMPC_BENCH_SIZED_CONFIG_H_
#define POMPC_BENCH_SIZED_CONFIG_H_

#include <string>

#include "common/config/run_config.h"

namespace pompc::bench {

// Defaults, a model of this size, and the sizes of cartpole-swingup.
inline proto::RunConfig SizedConfig(const std::string& size) {
  proto::RunConfig config;
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(5);
  spec->set_action_size(1);
  spec->set_episode_decisions(500);
  config.mutable_model()->set_size(size);
  return *config::Derive(config);
}

}  // namespace pompc::bench

#endif  // POMPC_BENCH_SIZED_CONFIG_H_
