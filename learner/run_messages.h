#ifndef POMPC_LEARNER_RUN_MESSAGES_H_
#define POMPC_LEARNER_RUN_MESSAGES_H_

#include "learner/control/leases.h"
#include "learner/control/run_control.h"
#include "learner/control/run_status.h"
#include "learner/control/types.h"
#include "proto/replay.pb.h"
#include "proto/run.pb.h"

namespace pompc::learner {

// Between the plain structs of control/ and the messages of RunService and ReplayService.

proto::Phase ToProto(Phase phase);
proto::Role ToProto(Role role);
proto::EvaluationAssignment ToProto(const EvaluationAssignment& assignment);
proto::EvaluationResult ToProto(const EvaluationResult& result);
proto::RunStatus ToProto(const RunStatus& status);

ShardState FromProto(const proto::ShardInfo& info);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_RUN_MESSAGES_H_
