#ifndef POMPC_CLI_CHECKPOINT_CHECKPOINT_REPORT_H_
#define POMPC_CLI_CHECKPOINT_CHECKPOINT_REPORT_H_

#include <string>

#include "cli/checkpoint/checkpoint_file.h"

namespace pompc::cli {

// What a checkpoint is, in words and tables: its run, counters, the settings that are not the
// defaults, its networks, every tensor with shape and norm.
std::string CheckpointReport(const CheckpointFile& checkpoint);

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_CHECKPOINT_REPORT_H_
