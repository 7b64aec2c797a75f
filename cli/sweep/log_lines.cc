#include "cli/sweep/log_lines.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "common/io/files.h"
#include "common/values/short_text.h"

namespace pompc::cli {
namespace {

constexpr size_t kLines = 5;
constexpr size_t kLineBytes = 500;

}  // namespace

std::vector<std::string> LastLines(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return {};
  std::vector<std::string> lines =
      absl::StrSplit(absl::StripTrailingAsciiWhitespace(*text), absl::ByAnyChar("\n\r"));
  if (lines.size() > kLines) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kLines));
  }
  for (std::string& line : lines) line = ShortText(line, kLineBytes);
  return lines;
}

}  // namespace pompc::cli
