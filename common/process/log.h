#ifndef POMPC_COMMON_PROCESS_LOG_H_
#define POMPC_COMMON_PROCESS_LOG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "spdlog/spdlog.h"

namespace pompc {

struct LogOptions {
  // Part of every line. Empty for a program that is several roles or none: then lines of text say
  // nothing of it, and those of JSON "pompc".
  std::string role;
  // One of trace, debug, info, warning, error, critical and off.
  std::string level = "info";
  // "text", or "json": one object a line (docs/metrics.md, Logs).
  std::string format = "text";
};

// What the lines of this process belong to, as far as it is known. Lines of JSON show it.
struct LogContext {
  // Id of the run.
  std::string run = "";
  // What the process is in the run, where its program does not say it: "evaluator".
  std::string role = "";
  // Which of its role it is: index of an actor, number of a shard, rank of a learner process.
  std::string index = "";
};

// The process's logger as one line of the source sees it: what is logged through it carries that
// place. Cheap to copy.
class LogPlace {
 public:
  LogPlace(spdlog::logger* logger, const char* file, int line)
      : logger_(logger), file_(file), line_(line) {}

  template <typename... Args>
  void log(spdlog::level::level_enum level, spdlog::format_string_t<Args...> format,
           Args&&... args) const {
    logger_->log(spdlog::source_loc{file_, line_, ""}, level, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void debug(spdlog::format_string_t<Args...> format, Args&&... args) const {
    log(spdlog::level::debug, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void info(spdlog::format_string_t<Args...> format, Args&&... args) const {
    log(spdlog::level::info, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void warn(spdlog::format_string_t<Args...> format, Args&&... args) const {
    log(spdlog::level::warn, format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void error(spdlog::format_string_t<Args...> format, Args&&... args) const {
    log(spdlog::level::err, format, std::forward<Args>(args)...);
  }
  void flush() const { logger_->flush(); }
  // To look at lines in tests. Not thread-safe.
  std::vector<spdlog::sink_ptr>& sinks() const { return logger_->sinks(); }

 private:
  spdlog::logger* logger_;
  const char* file_;
  int line_;
};

// Returns the process's logger, which writes lines to standard error. Thread-safe. Before
// SetUpLogging it has the defaults above. The arguments are the place of the caller.
//   Log().info("listening on {}", address);
LogPlace Log(const char* file = __builtin_FILE(), int line = __builtin_LINE());

// Applies `options` to Log(). Fails with INVALID_ARGUMENT naming the allowed levels or formats. To
// be called once, in main.
absl::Status SetUpLogging(const LogOptions& options);

// Says what the lines from now on belong to; what is empty stays as it was. Role and index are
// ignored in a process that is several roles or none. Thread-safe.
void SetLogContext(const LogContext& context);

// Tells why the program fails: one line "PROGRAM: MESSAGE" on standard error, or of JSON. To be
// called once, last.
void LogFailure(absl::string_view program, absl::string_view message);

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_LOG_H_
