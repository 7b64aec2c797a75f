#include "cli/sweep/log_lines.h"

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/io/files.h"
#include "common/values/short_text.h"
#include "run/control/status_report.h"

namespace pompc::cli {
namespace {

constexpr size_t kLines = 5;
constexpr size_t kLineBytes = 500;
// What `pompc train` says first.
constexpr absl::string_view kRunDirectory = "run directory ";
constexpr absl::string_view kStatusPage = ", status page ";

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

TrialNews ReadTrialLog(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return {};
  TrialNews news;
  bool known = false;
  const std::vector<absl::string_view> lines = absl::StrSplit(*text, '\n');
  // From the end, up to the line with which the start began. The last line may be half there.
  for (size_t i = lines.size() - 1; i-- > 0;) {
    const size_t page = lines[i].find(kStatusPage);
    if (absl::StartsWith(lines[i], kRunDirectory) && page != absl::string_view::npos) {
      const absl::string_view rest = lines[i].substr(page + kStatusPage.size());
      news.page = std::string(rest.substr(0, rest.find(',')));
      return news;
    }
    if (known) continue;
    const std::optional<std::string> waiting = run::WaitingOf(lines[i]);
    known = waiting.has_value();
    if (known) news.waiting = ShortText(*waiting, kLineBytes);
  }
  return news;
}

}  // namespace pompc::cli
