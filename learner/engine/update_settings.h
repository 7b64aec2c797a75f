#ifndef POMPC_LEARNER_ENGINE_UPDATE_SETTINGS_H_
#define POMPC_LEARNER_ENGINE_UPDATE_SETTINGS_H_

#include "absl/status/statusor.h"
#include "learner/update/config.h"
#include "proto/config.pb.h"

namespace pompc::learner {

// The update's plain settings out of a resolved run config with env.spec: sections learner and
// po_mpc, the discount by TD-MPC2's rule where it is 0. INVALID_ARGUMENT naming the field.
absl::StatusOr<update::UpdateConfig> UpdateConfigFrom(const proto::RunConfig& config);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_ENGINE_UPDATE_SETTINGS_H_
