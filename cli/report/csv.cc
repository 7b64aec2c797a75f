#include "cli/report/csv.h"

#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "rundir/csv_file.h"

namespace pompc::cli {

const std::vector<double>& CsvTable::column(const std::string& name) const {
  static const auto* empty = new std::vector<double>;
  const auto it = columns.find(name);
  return it == columns.end() ? *empty : it->second;
}

double CsvTable::cell(const std::string& name, size_t row) const {
  const std::vector<double>& values = column(name);
  return row < values.size() ? values[row] : std::numeric_limits<double>::quiet_NaN();
}

absl::StatusOr<CsvTable> ReadCsv(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const std::vector<std::string> lines = rundir::FinishedLines(text);
  CsvTable table;
  if (lines.empty()) return table;
  const std::vector<std::string> names = absl::StrSplit(lines[0], ',');
  for (const std::string& name : names) table.columns[name];
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> cells = absl::StrSplit(lines[i], ',');
    if (cells.size() != names.size()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ":", i + 1, ": ", cells.size(),
                                                     " cells; the header has ", names.size()));
    }
    for (size_t j = 0; j < names.size(); ++j) {
      double value = 0;
      // Cells that are no number become NaN, which charts leave out.
      if (!absl::SimpleAtod(cells[j], &value)) value = std::numeric_limits<double>::quiet_NaN();
      table.columns[names[j]].push_back(value);
    }
  }
  return table;
}

absl::StatusOr<CsvTable> ReadCsvIfThere(const std::string& path) {
  absl::StatusOr<CsvTable> table = ReadCsv(path);
  if (absl::IsNotFound(table.status())) return CsvTable();
  return table;
}

}  // namespace pompc::cli
