// The list of planning methods, for the two places that search: search.cc and cpu_planner.cc.
#ifndef POMPC_MODEL_PLANNING_METHODS_H_
#define POMPC_MODEL_PLANNING_METHODS_H_

#include "common/base/check.h"
#include "model/planning/cem.h"
#include "model/planning/mppi.h"

namespace pompc::model {

// Calls `function` with an object of the method's type. The one place that knows which there are.
template <typename Function>
auto CallMethod(proto::PlannerConfig::Method method, const Function& function) {
  switch (method) {
    case proto::PlannerConfig::MPPI:
      return function(Mppi());
    case proto::PlannerConfig::CEM:
      return function(Cem());
    case proto::PlannerConfig::METHOD_UNSPECIFIED:
      break;
  }
  POMPC_CHECK(false, "config::Derive lets no config without a method through");
}

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_METHODS_H_
