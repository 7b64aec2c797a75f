#ifndef POMPC_LEARNER_RUN_MESSAGES_H_
#define POMPC_LEARNER_RUN_MESSAGES_H_

#include "absl/status/statusor.h"
#include "learner/control/leases.h"
#include "learner/control/rank_group.h"
#include "learner/control/run_control.h"
#include "learner/control/run_status.h"
#include "learner/control/types.h"
#include "proto/ranks.pb.h"
#include "proto/replay.pb.h"
#include "proto/run.pb.h"

namespace pompc::learner {

// Between the plain structs of control/ and the messages of RunService, RankService and
// ReplayService.

proto::Phase ToProto(Phase phase);
proto::Role ToProto(Role role);
proto::EvaluationAssignment ToProto(const EvaluationAssignment& assignment);
proto::EvaluationResult ToProto(const EvaluationResult& result);
proto::RunStatus ToProto(const RunStatus& status);

ShardState FromProto(const proto::ShardInfo& info);

proto::RankOrder ToProto(const RankOrder& order);
// UNIMPLEMENTED for an order this version does not know.
absl::StatusOr<RankOrder> FromProto(const proto::RankOrder& order);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RUN_MESSAGES_H_
