#include "common/process/log.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/process/recent_log.h"
#include "common/values/utf8.h"
#include "nlohmann/json.hpp"
#include "spdlog/formatter.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace pompc {
namespace {

constexpr std::array<const char*, 7> kLevels = {"trace", "debug",    "info", "warning",
                                                "error", "critical", "off"};
constexpr std::array<const char*, 7> kSeverities = {"TRACE", "DEBUG",    "INFO", "WARNING",
                                                    "ERROR", "CRITICAL", "OFF"};
constexpr std::array<const char*, 2> kFormats = {"text", "json"};

// The context of the process's lines. Never destroyed, because threads may log while it exits.
class SharedContext {
 public:
  static SharedContext& Get() {
    static auto* const context = new SharedContext;
    return *context;
  }

  // `program` is empty for a program that is several roles or none.
  void Reset(absl::string_view program) {
    MutexLock lock(&mu_);
    one_role_ = !program.empty();
    context_ = {.role = one_role_ ? std::string(absl::StripPrefix(program, "pompc-")) : "pompc"};
  }

  void Set(const LogContext& context) {
    MutexLock lock(&mu_);
    if (!context.run.empty()) context_.run = context.run;
    if (!one_role_) return;
    if (!context.role.empty()) context_.role = context.role;
    if (!context.index.empty()) context_.index = context.index;
  }

  LogContext Read() {
    MutexLock lock(&mu_);
    return context_;
  }

 private:
  Mutex mu_;
  bool one_role_ ABSL_GUARDED_BY(mu_) = false;
  LogContext context_ ABSL_GUARDED_BY(mu_) = {.role = "pompc"};
};

// The path below the root of the sources, as the compiler was given that of this file.
absl::string_view SourcePath(absl::string_view file) {
  static constexpr absl::string_view kThis = __FILE__;
  static constexpr absl::string_view kPath = "common/process/log.cc";
  absl::ConsumePrefix(&file, kThis.substr(0, kThis.size() - kPath.size()));
  return file;
}

// One object a line. What is not known is left out.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& line, spdlog::memory_buf_t& out) override {
    const LogContext context = SharedContext::Get().Read();
    nlohmann::ordered_json json = {
        {"time", absl::FormatTime("%E4Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(line.time),
                                  absl::UTCTimeZone())},
        {"severity", kSeverities[line.level]},
        {"message", ToUtf8({line.payload.data(), line.payload.size()})}};
    const auto add = [&json](const char* name, const std::string& value) {
      if (!value.empty()) json[name] = ToUtf8(value);
    };
    if (!line.source.empty()) {
      add("source", absl::StrCat(SourcePath(line.source.filename), ":", line.source.line));
    }
    add("run", context.run);
    add("role", context.role);
    add("index", context.index);
    const std::string text = json.dump() + "\n";
    out.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

void SetPattern(spdlog::logger& logger, absl::string_view role) {
  logger.set_pattern(
      absl::StrCat("%Y-%m-%d %H:%M:%S.%e %L ", role, role.empty() ? "" : ": ", "%v"));
}

spdlog::logger& Logger() {
  // The logger is never destroyed, because threads may log while the process exits.
  static spdlog::logger* logger = [] {
    auto* made = new spdlog::logger(
        "pompc", {std::make_shared<spdlog::sinks::stderr_sink_mt>(), RecentLog::Sink()});
    SetPattern(*made, "");
    return made;
  }();
  return *logger;
}

// Says whether lines are JSON. It is set by SetUpLogging, before threads log.
bool json_lines = false;

}  // namespace

LogPlace Log(const char* file, int line) { return {&Logger(), file, line}; }

absl::Status SetUpLogging(const LogOptions& options) {
  const auto level = std::find(kLevels.begin(), kLevels.end(), options.level);
  if (level == kLevels.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("log level \"", options.level, "\"; allowed: ", absl::StrJoin(kLevels, ", ")));
  }
  if (std::find(kFormats.begin(), kFormats.end(), options.format) == kFormats.end()) {
    return absl::InvalidArgumentError(absl::StrCat("log format \"", options.format,
                                                   "\"; allowed: ", absl::StrJoin(kFormats, ", ")));
  }
  json_lines = options.format == "json";
  SharedContext::Get().Reset(options.role);
  if (json_lines) {
    Logger().set_formatter(std::make_unique<JsonFormatter>());
  } else {
    SetPattern(Logger(), options.role);
  }
  const auto lowest = static_cast<spdlog::level::level_enum>(level - kLevels.begin());
  // The recent lines are kept whatever standard error shows.
  Logger().sinks().front()->set_level(lowest);
  Logger().set_level(std::min(lowest, RecentLog::kLevel));
  return absl::OkStatus();
}

void SetLogContext(const LogContext& context) { SharedContext::Get().Set(context); }

void LogFailure(absl::string_view program, absl::string_view message) {
  if (!json_lines) {
    std::cerr << program << ": " << message << std::endl;
    return;
  }
  // Whatever the level is: this is what the program has to say in the end.
  Logger().sinks().front()->set_level(spdlog::level::critical);
  Logger().set_level(spdlog::level::critical);
  Logger().log(spdlog::level::critical, "{}", std::string(message));
  Logger().flush();
}

}  // namespace pompc
