#ifndef POMPC_CLI_REPORT_CSV_H_
#define POMPC_CLI_REPORT_CSV_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pompc::cli {

// A table of numbers read from a CSV file with a header line, as a run directory holds them.
struct CsvTable {
  // The columns by their names in the header; all have the same length. What is no number (an empty
  // cell, a word) reads as NaN.
  std::map<std::string, std::vector<double>> columns;

  // The column, or an empty one if there is none of this name.
  const std::vector<double>& column(const std::string& name) const;
  // One cell of it; NaN where there is none.
  double cell(const std::string& name, size_t row) const;
};

// A last line without its end is left out: somebody may be writing it. NOT_FOUND naming the file if
// there is none, another error if it cannot be read; INVALID_ARGUMENT naming the line if a line has
// another number of cells than the header.
absl::StatusOr<CsvTable> ReadCsv(const std::string& path);

// The same, but an empty table where there is no file yet.
absl::StatusOr<CsvTable> ReadCsvIfThere(const std::string& path);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_CSV_H_
