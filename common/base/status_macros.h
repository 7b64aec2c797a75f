#ifndef POMPC_COMMON_BASE_STATUS_MACROS_H_
#define POMPC_COMMON_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pompc {

// Returns `status` with "context: " before its message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace pompc

#define POMPC_CONCAT_INNER_(a, b) a##b
#define POMPC_CONCAT_(a, b) POMPC_CONCAT_INNER_(a, b)

// Returns from the enclosing function if `expr` is not OK.
#define POMPC_RETURN_IF_ERROR(expr)                                                     \
  do {                                                                                  \
    if (absl::Status pompc_status_ = (expr); !pompc_status_.ok()) return pompc_status_; \
  } while (0)

// POMPC_ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or the enclosing function returns F()'s
// error.
#define POMPC_ASSIGN_OR_RETURN(lhs, expr) \
  POMPC_ASSIGN_OR_RETURN_IMPL_(POMPC_CONCAT_(pompc_statusor_, __LINE__), lhs, expr)
#define POMPC_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr)  \
  auto statusor = (expr);                                  \
  if (!statusor.ok()) return std::move(statusor).status(); \
  lhs = std::move(statusor).value()

#endif  // POMPC_COMMON_BASE_STATUS_MACROS_H_
