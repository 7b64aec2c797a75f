#ifndef POMPC_TESTS_PLANNER_CLIENT_PLAN_AND_WAIT_H_
#define POMPC_TESTS_PLANNER_CLIENT_PLAN_AND_WAIT_H_

#include <utility>

#include "common/base/threads.h"
#include "planner/client/planner_client.h"

namespace pompc::planner {

// client.Plan(), waiting for the answer.
inline absl::StatusOr<proto::PlanReply> PlanAndWait(PlannerClient& client,
                                                    proto::PlanRequest request,
                                                    absl::Duration timeout) {
  Event done;
  absl::StatusOr<proto::PlanReply> result;
  client.Plan(std::move(request), timeout, [&](absl::StatusOr<proto::PlanReply> reply) {
    result = std::move(reply);
    done.Set();
  });
  done.Wait();
  return result;
}

}  // namespace pompc::planner

#endif  // POMPC_TESTS_PLANNER_CLIENT_PLAN_AND_WAIT_H_
