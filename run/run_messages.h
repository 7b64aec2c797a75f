#ifndef POMPC_RUN_RUN_MESSAGES_H_
#define POMPC_RUN_RUN_MESSAGES_H_

#include "proto/replay.pb.h"
#include "proto/run.pb.h"
#include "run/control/leases.h"
#include "run/control/run_control.h"
#include "run/control/run_status.h"
#include "run/control/types.h"

namespace pompc::run {

// Between the plain structs of control/ and the messages of RunService and ReplayService.

proto::Phase ToProto(Phase phase);
proto::Role ToProto(Role role);
proto::EvaluationAssignment ToProto(const EvaluationAssignment& assignment);
proto::EvaluationResult ToProto(const EvaluationResult& result);
proto::RunStatus ToProto(const RunStatus& status);

ShardState FromProto(const proto::ShardInfo& info);

}  // namespace pompc::run

#endif  // POMPC_RUN_RUN_MESSAGES_H_
