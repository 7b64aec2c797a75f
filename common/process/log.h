#ifndef POMPC_COMMON_PROCESS_LOG_H_
#define POMPC_COMMON_PROCESS_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "spdlog/spdlog.h"

namespace pompc {

struct LogOptions {
  // Part of every line, unless it is empty.
  std::string role;
  // One of trace, debug, info, warning, error, critical and off.
  std::string level = "info";
};

// Returns the process's logger, which writes lines to standard error. Thread-safe. Before
// SetUpLogging it has the defaults above.
//   Log().info("listening on {}", address);
spdlog::logger& Log();

// Applies `options` to Log(). Fails with INVALID_ARGUMENT naming the allowed levels. To be
// called once, in main.
absl::Status SetUpLogging(const LogOptions& options);

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_LOG_H_
