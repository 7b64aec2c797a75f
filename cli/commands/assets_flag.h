#ifndef POMPC_CLI_COMMANDS_ASSETS_FLAG_H_
#define POMPC_CLI_COMMANDS_ASSETS_FLAG_H_

#include <string>

#include "CLI/CLI.hpp"

namespace pompc::cli {

// Adds --assets, where the models are that are not built in.
inline void AddAssets(CLI::App& command, std::string* folder) {
  command
      .add_option("--assets", *folder,
                  "folder of the models that are not built in; default: where "
                  "scripts/fetch-control-suite.sh puts them")
      ->envname("POMPC_ASSETS")
      ->type_name("DIR");
}

}  // namespace pompc::cli

#endif  // POMPC_CLI_COMMANDS_ASSETS_FLAG_H_
