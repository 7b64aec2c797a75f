#ifndef POMPC_COMMON_VALUES_PARAMETER_VERSION_H_
#define POMPC_COMMON_VALUES_PARAMETER_VERSION_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace pompc {

// Identifies one published set of parameters, as proto::ParameterVersion does, for the parts that
// know no protobuf. Ordered by learner incarnation, then by number; (0, 0) means "no parameters".
struct ParameterVersion {
  uint64_t incarnation = 0;
  uint64_t number = 0;

  auto operator<=>(const ParameterVersion&) const = default;

  // True if this names a published set.
  bool valid() const { return number > 0; }
  // "2.17": incarnation, then number.
  std::string ToString() const { return absl::StrCat(incarnation, ".", number); }
};

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_PARAMETER_VERSION_H_
