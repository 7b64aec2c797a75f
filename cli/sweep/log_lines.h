#ifndef POMPC_CLI_SWEEP_LOG_LINES_H_
#define POMPC_CLI_SWEEP_LOG_LINES_H_

#include <string>
#include <vector>

namespace pompc::cli {

// The last lines of a log, five at most, long ones cut; none if it cannot be read.
std::vector<std::string> LastLines(const std::string& path);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_LOG_LINES_H_
