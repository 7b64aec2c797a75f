#ifndef POMPC_CLI_SWEEP_LOG_LINES_H_
#define POMPC_CLI_SWEEP_LOG_LINES_H_

#include <string>
#include <vector>

namespace pompc::cli {

// The last lines of a log, five at most, long ones cut; none if it cannot be read.
std::vector<std::string> LastLines(const std::string& path);

// What the log of a trial that runs tells, from the newest start of it on.
struct TrialNews {
  // The address of its status page, "http://127.0.0.1:40123/"; empty before it is known.
  std::string page;
  // Who waits for whom and what is out of order, in words; empty when nothing is, or before the
  // first line about its progress.
  std::string waiting;
};

// Reads the newest news in the output of `pompc train`; none if it cannot be read.
TrialNews ReadTrialLog(const std::string& path);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_LOG_LINES_H_
