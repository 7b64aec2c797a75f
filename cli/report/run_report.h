#ifndef POMPC_CLI_REPORT_RUN_REPORT_H_
#define POMPC_CLI_REPORT_RUN_REPORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/run.pb.h"
#include "rundir/checkpoint_store.h"

namespace pompc::cli {

// A run's state as a page of tables: progress, evaluations, who takes part, shards.
std::string RunReport(const proto::GetRunReply& run);

// What a run came to, when it is over: best evaluation, counts, where things are. `best` and
// `newest`: the checkpoints that it leaves behind.
std::string RunSummary(const proto::GetRunReply& run,
                       const absl::StatusOr<rundir::ChosenCheckpoint>& best,
                       const absl::StatusOr<rundir::ChosenCheckpoint>& newest);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_RUN_REPORT_H_
