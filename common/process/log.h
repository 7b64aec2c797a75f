#ifndef POMPC_COMMON_PROCESS_LOG_H_
#define POMPC_COMMON_PROCESS_LOG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "spdlog/spdlog.h"

namespace pompc {

struct LogOptions {
  // Stands in every line; empty: nothing.
  std::string role;
  // trace, debug, info, warning, error, critical or off.
  std::string level = "info";
};

// The process's logger: lines on standard error. Thread-safe; usable before SetUpLogging, with the
// defaults above.
//   Log().info("listening on {}", address);
spdlog::logger& Log();

// Applies `options` to Log(). INVALID_ARGUMENT naming the allowed levels. Called once, in main.
absl::Status SetUpLogging(const LogOptions& options);

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_LOG_H_
