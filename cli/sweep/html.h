#ifndef POMPC_CLI_SWEEP_HTML_H_
#define POMPC_CLI_SWEEP_HTML_H_

#include <string>
#include <vector>

#include "common/values/text_table.h"

namespace pompc::cli {

// A table with a heading and words about it, in the forms that reports have.
struct ReportTable {
  std::string title;
  std::string note;
  // The first row has the headings.
  TextTable rows;
};

// Text as HTML shows it.
std::string HtmlText(const std::string& text);
// A page that needs nothing else, light or dark as the reader's system is. `refresh_seconds` after
// which it loads itself again; 0: never.
std::string HtmlPage(const std::string& title, const std::string& body, int refresh_seconds);
std::string HtmlTable(const ReportTable& table);
std::string MarkdownTable(const ReportTable& table);
// A small picture of a curve.
std::string Sparkline(const std::vector<double>& values);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_HTML_H_
