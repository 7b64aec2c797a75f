#ifndef POMPC_COMMON_PROCESS_RECENT_LOG_H_
#define POMPC_COMMON_PROCESS_RECENT_LOG_H_

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/threads.h"
#include "spdlog/sinks/sink.h"

namespace pompc {

// A line of the log, as it was given to Log().
struct LogLine {
  absl::Time time;
  spdlog::level::level_enum level = spdlog::level::info;
  // UTF-8 on one line, of at most RecentLog::kMaxLineBytes bytes (ShortText).
  std::string text;
};

// The newest lines that this process logged, for pages that show them. They are of kLevel and
// above, whatever level standard error shows. Warnings and worse are kept apart too, so that many
// lines of less weight do not push them out. Thread-safe; its memory is bounded.
class RecentLog : public spdlog::sinks::sink {
 public:
  static constexpr spdlog::level::level_enum kLevel = spdlog::level::info;
  static constexpr size_t kMaxLines = 60;
  static constexpr size_t kMaxWarnings = 30;
  static constexpr size_t kMaxLineBytes = 300;

  // The sink that Log() writes to; never destroyed.
  static const std::shared_ptr<RecentLog>& Sink();

  // The newest kMaxLines lines, oldest first.
  std::vector<LogLine> Lines() const;
  // The newest kMaxWarnings lines of level warning and above, oldest first.
  std::vector<LogLine> Warnings() const;

  void log(const spdlog::details::log_msg& message) override;
  void flush() override {}
  // Lines are kept as they were given; no pattern applies to them.
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

 private:
  mutable Mutex mu_;
  std::deque<LogLine> lines_ ABSL_GUARDED_BY(mu_);
  std::deque<LogLine> warnings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_RECENT_LOG_H_
