#ifndef POMPC_RUN_CONTROL_NAMES_H_
#define POMPC_RUN_CONTROL_NAMES_H_

#include <string>

#include "absl/strings/ascii.h"
#include "proto/run.pb.h"

namespace pompc::run {

// Actors and evaluators end once the run is over.
inline bool IsOver(proto::Phase phase) {
  return phase == proto::FINISHED || phase == proto::STOPPING;
}

// What texts and the labels of metrics call a role and the end of a lease: "actor", "evaluator",
// "left", "failed", "silent".
inline std::string Name(proto::Role role) { return absl::AsciiStrToLower(proto::Role_Name(role)); }
inline std::string Name(proto::LeaseEnd end) {
  return absl::AsciiStrToLower(proto::LeaseEnd_Name(end));
}
// Likewise a reason for which the learner or writers wait: "ratio", "min_rows".
inline std::string Name(proto::LimiterStatus::Reason reason) {
  return absl::AsciiStrToLower(proto::LimiterStatus::Reason_Name(reason));
}

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_NAMES_H_
