#ifndef POMPC_COMMON_VALUES_TEXT_TABLE_H_
#define POMPC_COMMON_VALUES_TEXT_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace pompc {

// 12345678 -> "12,345,678".
std::string FormatCount(uint64_t count);

// The same for a number without a fraction that was read from a file; "?" where that is none.
std::string FormatNumber(double number);

// 3723.4 seconds -> "1:02:03", 62 -> "1:02"; "?" where it is no number.
std::string FormatSeconds(double seconds);

// "812.3 ± 20.1"; without the half width where that is not finite.
std::string FormatMean(double mean, double half_width);

// Cells, row by row; rows may have different lengths.
using TextTable = std::vector<std::vector<std::string>>;

// The rows in columns two blanks apart. The first row has the headings. Columns whose other cells
// are numbers as the functions above write them stand to the right, with their headings; the others
// to the left. Every line is indented by two blanks and ends in a line end.
std::string FormatTable(const TextTable& table);

// The same without headings, for rows of a name and what it stands for: all stand to the left.
std::string FormatFields(const TextTable& fields);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_TEXT_TABLE_H_
