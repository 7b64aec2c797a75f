#ifndef POMPC_CLI_COMMANDS_REPLAY_LIMIT_H_
#define POMPC_CLI_COMMANDS_REPLAY_LIMIT_H_

#include "cli/commands/command.h"

namespace pompc::cli {

// Adds `limit` to `pompc replay`: shows the limits of a run that is going on, and changes them.
Command AddReplayLimit(CLI::App& replay);

}  // namespace pompc::cli

#endif  // POMPC_CLI_COMMANDS_REPLAY_LIMIT_H_
