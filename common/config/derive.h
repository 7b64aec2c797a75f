#ifndef POMPC_COMMON_CONFIG_DERIVE_H_
#define POMPC_COMMON_CONFIG_DERIVE_H_

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace pompc::config {

// The config that programs compute from: the same with what it leaves to a rule worked out. These
// are model.encoder_dim, mlp_dim, latent_dim, encoder_layers and num_q by model.size;
// planner.iterations; planner.max_batch of a LOCKSTEP run; learner.discount; po_mpc.alpha. Files
// keep the config as it was given. INVALID_ARGUMENT as Validate, or when env.spec is missing.
absl::StatusOr<proto::RunConfig> Derive(proto::RunConfig config);

// What is 0 in it filled in by its size. INVALID_ARGUMENT listing the sizes.
absl::StatusOr<proto::ModelConfig> FillSizes(proto::ModelConfig model);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_DERIVE_H_
