#include "learner/status_page.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/values/utf8.h"
#include "run/control/status_report.h"

namespace pompc::learner {
namespace {

// The newest are shown.
constexpr int kEvaluations = 20;

constexpr char kHead[] =
    "<!doctype html><html><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" "
    "content=\"5\"><title>pompc learner</title><style>body{font:14px sans-serif;margin:2em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:2px 12px 2px 0;text-align:left}"
    "th{border-bottom:1px solid #999}</style></head><body>";

// Names come from other processes, paths may be any bytes.
std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(ToUtf8(text),
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
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
  return html + "</table>";
}

}  // namespace

std::string StatusPage(const proto::GetRunReply& run) {
  std::string page = absl::StrCat(kHead, "<h1>pompc learner</h1>",
                                  Table(run::StatusFields(run), /*headings=*/false));
  for (const run::StatusTable& table : run::StatusTables(run.status(), kEvaluations)) {
    absl::StrAppend(&page, "<h2>", table.title, "</h2>", Table(table.rows, /*headings=*/true));
  }
  return page + "</body></html>\n";
}

}  // namespace pompc::learner
