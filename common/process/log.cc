#include "common/process/log.h"

#include <algorithm>
#include <array>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/process/recent_log.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace pompc {
namespace {

constexpr std::array<const char*, 7> kLevels = {"trace", "debug",    "info", "warning",
                                                "error", "critical", "off"};

void SetPattern(spdlog::logger& logger, absl::string_view role) {
  logger.set_pattern(
      absl::StrCat("%Y-%m-%d %H:%M:%S.%e %L ", role, role.empty() ? "" : ": ", "%v"));
}

}  // namespace

spdlog::logger& Log() {
  // The logger is never destroyed, because threads may log while the process exits.
  static spdlog::logger* logger = [] {
    auto* made = new spdlog::logger(
        "pompc", {std::make_shared<spdlog::sinks::stderr_sink_mt>(), RecentLog::Sink()});
    SetPattern(*made, "");
    return made;
  }();
  return *logger;
}

absl::Status SetUpLogging(const LogOptions& options) {
  const auto level = std::find(kLevels.begin(), kLevels.end(), options.level);
  if (level == kLevels.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("log level \"", options.level, "\"; allowed: ", absl::StrJoin(kLevels, ", ")));
  }
  SetPattern(Log(), options.role);
  const auto lowest = static_cast<spdlog::level::level_enum>(level - kLevels.begin());
  // The recent lines are kept whatever standard error shows.
  Log().sinks().front()->set_level(lowest);
  Log().set_level(std::min(lowest, RecentLog::kLevel));
  return absl::OkStatus();
}

}  // namespace pompc
