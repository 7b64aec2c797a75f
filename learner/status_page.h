#ifndef POMPC_LEARNER_STATUS_PAGE_H_
#define POMPC_LEARNER_STATUS_PAGE_H_

#include <string>

#include "proto/run.pb.h"

namespace pompc::learner {

// The run at a glance, as an HTML page that reloads itself every few seconds.
std::string StatusPage(const proto::GetRunReply& run);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_STATUS_PAGE_H_
