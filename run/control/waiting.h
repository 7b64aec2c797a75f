#ifndef POMPC_RUN_CONTROL_WAITING_H_
#define POMPC_RUN_CONTROL_WAITING_H_

#include <string>

#include "proto/run.pb.h"

namespace pompc::run {

// What the learner itself waits for.
struct LearnerWaits {
  // What the trainer waits for before its next step, in words and as a value; empty and NONE: it
  // does not wait.
  std::string step;
  proto::LimiterStatus::Reason step_reason = proto::LimiterStatus::NONE;
  // What it waits for within a step.
  std::string within_step;
  // Why the learner ends though the run is not over; empty while it does not.
  std::string halted;
  // Why shards hold writers back.
  std::string grant;
};

// Who waits for whom, and what is out of order, in words for people; empty when nothing is. Besides
// `waits` it names what may be the cause: actors or evaluators that are missing, have ended or wait
// themselves, planners that are missing or behind, shards that cannot be reached, checkpoints that
// cannot be written. Bounded: of each kind of peer one is named, of shards all.
std::string WaitingText(const proto::RunStatus& status, const LearnerWaits& waits);

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_WAITING_H_
