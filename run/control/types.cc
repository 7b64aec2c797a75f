#include "run/control/types.h"

namespace pompc::run {

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kSeed:
      return "SEED";
    case Phase::kTraining:
      return "TRAINING";
    case Phase::kFinished:
      return "FINISHED";
    case Phase::kStopping:
      return "STOPPING";
  }
  return "?";
}

const char* LeaseEndName(LeaseEnd end) {
  switch (end) {
    case LeaseEnd::kLeft:
      return "left";
    case LeaseEnd::kFailed:
      return "failed";
    case LeaseEnd::kSilent:
      return "silent";
  }
  return "?";
}

const char* RoleName(Role role) { return role == Role::kActor ? "actor" : "evaluator"; }

}  // namespace pompc::run
