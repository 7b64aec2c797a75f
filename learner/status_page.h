#ifndef POMPC_LEARNER_STATUS_PAGE_H_
#define POMPC_LEARNER_STATUS_PAGE_H_

#include <string>

#include "run/control/run_status.h"

namespace pompc::learner {

// The run at a glance, as an HTML page that reloads itself every few seconds.
std::string StatusPage(const std::string& run_id, const std::string& run_dir,
                       const run::RunStatus& status);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_PAGE_H_
