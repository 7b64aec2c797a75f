#include "cli/sweep/html.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace pompc::cli {
namespace {

constexpr char kStyle[] =
    ":root{color-scheme:light dark;--ink:#222;--paper:#fff;--line:#ccc;--soft:#f3f3f3}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--paper:#17181a;--line:#444;"
    "--soft:#222428}}"
    "body{font:14px sans-serif;margin:2em;color:var(--ink);background:var(--paper)}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}"
    "th,td{border-bottom:1px solid var(--line);padding:.25em .7em;text-align:right}"
    "th:first-child,td:first-child,th.words,td.words{text-align:left}"
    "td.words{max-width:28em}"
    "tr:nth-child(even){background:var(--soft)}svg{max-width:100%;height:auto}"
    "pre{background:var(--soft);padding:.6em;overflow-x:auto}"
    "progress{width:24em;max-width:100%}";

std::string HtmlRow(const std::vector<std::string>& cells, const char* tag) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) {
    absl::StrAppend(&row, "<", tag, ">", HtmlText(cell), "</", tag, ">");
  }
  return row + "</tr>\n";
}

std::string MarkdownRow(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) {
    absl::StrAppend(&row, " ", absl::StrReplaceAll(cell, {{"|", "\\|"}, {"\n", " "}}), " |");
  }
  return row + "\n";
}

}  // namespace

std::string HtmlText(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string HtmlPage(const std::string& title, const std::string& body, int refresh_seconds) {
  const std::string refresh =
      refresh_seconds > 0
          ? absl::StrCat("<meta http-equiv=\"refresh\" content=\"", refresh_seconds, "\">")
          : "";
  return absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">", refresh,
                      "<meta name=\"viewport\" content=\"width=device-width\"><title>",
                      HtmlText(title), "</title><style>", kStyle, "</style></head><body>\n<h1>",
                      HtmlText(title), "</h1>\n", body, "</body></html>\n");
}

std::string HtmlTable(const ReportTable& table) {
  std::string html;
  if (!table.title.empty()) absl::StrAppend(&html, "<h2>", HtmlText(table.title), "</h2>\n");
  if (!table.note.empty()) absl::StrAppend(&html, "<p>", HtmlText(table.note), "</p>\n");
  absl::StrAppend(&html, "<table>\n");
  for (size_t i = 0; i < table.rows.size(); ++i) {
    absl::StrAppend(&html, HtmlRow(table.rows[i], i == 0 ? "th" : "td"));
  }
  return html + "</table>\n";
}

std::string MarkdownTable(const ReportTable& table) {
  std::string text;
  if (!table.title.empty()) absl::StrAppend(&text, "## ", table.title, "\n\n");
  if (!table.note.empty()) absl::StrAppend(&text, table.note, "\n\n");
  for (size_t i = 0; i < table.rows.size(); ++i) {
    absl::StrAppend(&text, MarkdownRow(table.rows[i]));
    if (i > 0) continue;
    absl::StrAppend(&text, "|");
    for (size_t j = 0; j < table.rows[0].size(); ++j) absl::StrAppend(&text, "---|");
    absl::StrAppend(&text, "\n");
  }
  return text + "\n";
}

std::string Sparkline(const std::vector<double>& values) {
  constexpr double kWidth = 120, kHeight = 22;
  double low = 0, high = 0;
  std::vector<double> finite;
  for (const double value : values) {
    if (!(std::abs(value) <= 1e15)) continue;
    finite.push_back(value);
    low = std::min(low, value);
    high = std::max(high, value);
  }
  std::string points;
  for (size_t i = 0; i < finite.size(); ++i) {
    const double x = finite.size() == 1
                         ? kWidth
                         : kWidth * static_cast<double>(i) / static_cast<double>(finite.size() - 1);
    const double y = kHeight - (high > low ? (finite[i] - low) / (high - low) : 0.5) * kHeight;
    absl::StrAppendFormat(&points, "%.1f,%.1f ", x, y + 1);
  }
  return absl::StrFormat(
      "<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\"><polyline points=\"%s\" "
      "fill=\"none\" stroke=\"#2f81c7\" stroke-width=\"1.5\"/></svg>",
      static_cast<int>(kWidth), static_cast<int>(kHeight) + 2, static_cast<int>(kWidth),
      static_cast<int>(kHeight) + 2, points);
}

}  // namespace pompc::cli
