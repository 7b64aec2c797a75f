#ifndef POMPC_CLI_REPORT_FORMAT_H_
#define POMPC_CLI_REPORT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

namespace pompc::cli {

// 12345678 -> "12,345,678".
std::string FormatCount(uint64_t count);

// The same for a number without a fraction that was read from a file; "?" where that is none.
std::string FormatNumber(double number);

// 3723.4 seconds -> "1:02:03", 62 -> "1:02"; "?" where it is no number.
std::string FormatSeconds(double seconds);

// "812.3 ± 20.1"; without the half width where that is not finite.
std::string FormatMean(double mean, double half_width);

// Rows of cells in columns two blanks apart; numbers (cells that begin with a digit or a sign)
// stand to the right, words to the left. Every line is indented by two blanks and ends in a line
// end.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_FORMAT_H_
