#ifndef POMPC_COMMON_VALUES_NOT_FINITE_H_
#define POMPC_COMMON_VALUES_NOT_FINITE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/string_view.h"

namespace pompc {

inline constexpr char kNotFinitePayload[] = "pompc.not_finite";

// Returns INTERNAL for a quantity `what`, one word, that came out as NaN or infinity.
inline absl::Status NotFiniteError(absl::string_view what, absl::string_view message) {
  absl::Status status = absl::InternalError(message);
  status.SetPayload(kNotFinitePayload, absl::Cord(what));
  return status;
}

// Returns the quantity that NotFiniteError named; empty for every other status.
inline std::string NotFiniteName(const absl::Status& status) {
  const auto payload = status.GetPayload(kNotFinitePayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_NOT_FINITE_H_
