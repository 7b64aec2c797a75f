#include "common/process/recent_log.h"

#include <utility>

#include "absl/strings/string_view.h"
#include "common/values/short_text.h"

namespace pompc {
namespace {

void Push(LogLine line, size_t most, std::deque<LogLine>* lines) {
  lines->push_back(std::move(line));
  if (lines->size() > most) lines->pop_front();
}

}  // namespace

const std::shared_ptr<RecentLog>& RecentLog::Sink() {
  static const auto* sink = new std::shared_ptr<RecentLog>(std::make_shared<RecentLog>());
  return *sink;
}

std::vector<LogLine> RecentLog::Lines() const {
  MutexLock lock(&mu_);
  return {lines_.begin(), lines_.end()};
}

std::vector<LogLine> RecentLog::Warnings() const {
  MutexLock lock(&mu_);
  return {warnings_.begin(), warnings_.end()};
}

void RecentLog::log(const spdlog::details::log_msg& message) {
  if (message.level < kLevel || message.level >= spdlog::level::off) return;
  const absl::string_view text(message.payload.data(), message.payload.size());
  LogLine line = {absl::FromChrono(message.time), message.level, ShortText(text, kMaxLineBytes)};
  MutexLock lock(&mu_);
  if (line.level >= spdlog::level::warn) Push(line, kMaxWarnings, &warnings_);
  Push(std::move(line), kMaxLines, &lines_);
}

void RecentLog::set_pattern(const std::string& /*pattern*/) {}

void RecentLog::set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) {}

}  // namespace pompc
