#ifndef POMPC_CLI_REPLAY_INSPECTION_H_
#define POMPC_CLI_REPLAY_INSPECTION_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}  // namespace CLI

namespace pompc::cli {

// A subcommand of `pompc replay`: its flags, and what it does once they are parsed.
struct ReplayAction {
  CLI::App* flags = nullptr;
  std::function<absl::Status()> run;
};

// Adds info, episodes, rows, export, import, snapshot and restore to `pompc replay`, which look
// into shards and carry their rows to files and back.
std::vector<ReplayAction> AddInspection(CLI::App& replay);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPLAY_INSPECTION_H_
