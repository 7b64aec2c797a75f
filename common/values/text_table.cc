#include "common/values/text_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace pompc {
namespace {

// Characters as a terminal shows them: bytes that continue one in UTF-8 do not count.
size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

// Returns true if this is a number as the functions below and StrCat write it, with or without its
// unit: "12,345", "-1.5", "1:02:03", "812.3 ± 20.1", "1e+06", "0.5 s ago", "?". An address may
// begin with a digit too, but has other characters or more than one point.
bool IsNumber(absl::string_view cell) {
  absl::ConsumeSuffix(&cell, " ago");
  absl::ConsumeSuffix(&cell, " s");
  if (cell == "?") return true;
  for (absl::string_view part : absl::StrSplit(cell, " ± ")) {
    const bool characters = part.find_first_not_of("0123456789,.:+-e") == part.npos;
    if (!characters || std::count(part.begin(), part.end(), '.') > 1) return false;
    absl::ConsumePrefix(&part, "-");
    if (part.empty() || !absl::ascii_isdigit(part[0])) return false;
  }
  return true;
}

// For each column, its width and whether it stands to the right.
struct Column {
  size_t width = 0;
  bool right = false;
};

std::string Format(const TextTable& table, const std::vector<Column>& columns) {
  std::string text;
  for (const std::vector<std::string>& row : table) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(columns[i].width - Width(row[i]), ' ');
      absl::StrAppend(&line, "  ", columns[i].right ? padding : "", row[i],
                      columns[i].right ? "" : padding);
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::vector<Column> Columns(const TextTable& table) {
  std::vector<Column> columns;
  for (const std::vector<std::string>& row : table) {
    if (row.size() > columns.size()) columns.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
      columns[i].width = std::max(columns[i].width, Width(row[i]));
    }
  }
  return columns;
}

}  // namespace

std::string FormatCount(uint64_t count) {
  std::string digits = absl::StrCat(count);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, 1, ',');
  return digits;
}

std::string FormatNumber(double number) {
  return number >= 0 && number < 1e18 ? FormatCount(static_cast<uint64_t>(number)) : "?";
}

std::string FormatSeconds(double seconds) {
  if (!(seconds >= 0 && seconds < 1e15)) return "?";
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600) {
    return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

std::string FormatMean(double mean, double half_width) {
  if (!std::isfinite(half_width)) return absl::StrFormat("%.1f", mean);
  return absl::StrFormat("%.1f ± %.1f", mean, half_width);
}

std::string FormatTable(const TextTable& table) {
  std::vector<Column> columns = Columns(table);
  for (size_t i = 0; i < columns.size(); ++i) {
    // A table without rows has headings alone, and they are words.
    bool any = false, all = true;
    for (size_t row = 1; row < table.size(); ++row) {
      if (i >= table[row].size() || table[row][i].empty()) continue;
      any = true;
      all = all && IsNumber(table[row][i]);
    }
    columns[i].right = any && all;
  }
  return Format(table, columns);
}

std::string FormatFields(const TextTable& fields) { return Format(fields, Columns(fields)); }

}  // namespace pompc
