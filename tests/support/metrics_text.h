#ifndef POMPC_TESTS_SUPPORT_METRICS_TEXT_H_
#define POMPC_TESTS_SUPPORT_METRICS_TEXT_H_

#include <regex>
#include <string>

namespace pompc {

// Returns a page of metrics without label "run", for tests of one run that look for other labels.
inline std::string WithoutRun(const std::string& page) {
  const std::string without = std::regex_replace(page, std::regex("(,run|\\brun)=\"[^\"]*\""), "");
  return std::regex_replace(without, std::regex("\\{\\}"), "");
}

}  // namespace pompc

#endif  // POMPC_TESTS_SUPPORT_METRICS_TEXT_H_
