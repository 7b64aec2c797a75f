#include "learner/status/status_html.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/values/utf8.h"
#include "learner/status/page.h"
#include "run/control/status_report.h"

namespace pompc::learner {
namespace {

// The newest are shown.
constexpr int kEvaluations = 20;

// Names come from other processes, paths may be any bytes.
std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(
      ToUtf8(text),
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

// `headings`: the first row has them.
std::string Table(const TextTable& table, bool headings) {
  std::string html = "<table>";
  for (const std::vector<std::string>& row : table) {
    const char* const tag = headings && &row == &table.front() ? "th" : "td";
    absl::StrAppend(&html, "<tr>");
    for (const std::string& cell : row) {
      absl::StrAppend(&html, "<", tag, ">", Escape(cell), "</", tag, ">");
    }
    absl::StrAppend(&html, "</tr>");
  }
  return html + "</table>\n";
}

void AddSection(absl::string_view title, const TextTable& rows, std::string* html) {
  absl::StrAppend(html, "<h2>", Escape(title), "</h2>\n", Table(rows, /*headings=*/true));
}

TextTable LogTable(const std::vector<LogLine>& lines) {
  TextTable rows = {{"time (UTC)", "level", "text"}};
  // Newest first: somebody who has no script cannot see the end of a long page at once.
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const auto level = spdlog::level::to_string_view(line->level);
    rows.push_back({absl::FormatTime("%H:%M:%S", line->time, absl::UTCTimeZone()),
                    std::string(level.data(), level.size()), line->text});
  }
  return rows;
}

std::string Videos(const std::vector<Video>& videos) {
  std::string html;
  for (size_t i = 0; i < videos.size(); ++i) {
    absl::StrAppend(&html, "<p><a href=\"", VideoPath(i), "\">", Escape(videos[i].name),
                    "</a></p>\n");
  }
  return html;
}

}  // namespace

std::string StatusHtml(const StatusView& view) {
  std::string tables = Table(run::StatusFields(view.run), /*headings=*/false);
  for (const run::StatusTable& table : run::StatusTables(view.run.status(), kEvaluations)) {
    AddSection(table.title, table.rows, &tables);
  }
  if (!view.videos.empty()) absl::StrAppend(&tables, "<h2>videos</h2>\n", Videos(view.videos));
  if (!view.warnings.empty()) AddSection("warnings", LogTable(view.warnings), &tables);
  if (!view.log.empty()) AddSection("log", LogTable(view.log), &tables);
  return absl::StrCat(page::kBeforeTitle, Escape(view.run.config().env().task()), " - pompc",
                      page::kBeforeTables, tables, page::kEnd);
}

}  // namespace pompc::learner
