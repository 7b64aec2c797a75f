#ifndef POMPC_COMMON_BASE_CHECK_H_
#define POMPC_COMMON_BASE_CHECK_H_

#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// What code does when something goes wrong. What the world can cause (input, networks, disks) is an
// absl::Status, which functions hand up to their callers:
//
//   POMPC_RETURN_IF_ERROR(CheckSize(size));
//   POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
//
// What the code itself promises is checked: what a header asks of its caller, and what must hold
// between the fields of an object after each change. A check that fails is a bug of this program
// and continuing would spoil a run, so it prints file, line, condition and values, and aborts.
//
//   POMPC_CHECK(!closed_);
//   POMPC_CHECK(mean <= bound, "rows run ahead of what was granted");
//   POMPC_CHECK_LT(shard, num_shards());
//
// POMPC_DCHECK and its relatives do the same in builds without NDEBUG (those with sanitizers) and
// cost nothing in others: for loops whose time counts.

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

namespace pompc::check_internal {

// Returns `value` as a failed check prints it.
template <typename T>
std::string Shown(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    return absl::StrCat(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    return absl::StrCat(value);
  } else if constexpr (std::is_convertible_v<const T&, absl::string_view>) {
    return absl::StrCat("\"", absl::string_view(value), "\"");
  } else if constexpr (std::is_same_v<T, absl::Duration>) {
    return absl::FormatDuration(value);
  } else if constexpr (requires { value.ToString(); }) {
    return value.ToString();
  } else {
    return "(not printable)";
  }
}

[[noreturn]] void Failed(const char* file, int line, const char* condition,
                         absl::string_view values, absl::string_view what = "");

}  // namespace pompc::check_internal

// POMPC_CHECK(condition[, what]): `what`, any text, is evaluated only when the check fails.
#define POMPC_CHECK(condition, ...)                                                       \
  do {                                                                                    \
    if (!(condition)) [[unlikely]] {                                                      \
      ::pompc::check_internal::Failed(__FILE__, __LINE__, #condition, "", ##__VA_ARGS__); \
    }                                                                                     \
  } while (0)

// POMPC_CHECK_OK(status[, what])
#define POMPC_CHECK_OK(status, ...)                                                      \
  do {                                                                                   \
    if (const ::absl::Status check_status = (status); !check_status.ok()) [[unlikely]] { \
      ::pompc::check_internal::Failed(__FILE__, __LINE__, #status " is OK",              \
                                      check_status.ToString(), ##__VA_ARGS__);           \
    }                                                                                    \
  } while (0)

// Compares in a function, so that what `a` and `b` refer to lives until they are compared:
// std::min, for example, returns a reference to its argument.
#define POMPC_CHECK_COMPARE(a, op, b, ...)                                       \
  do {                                                                           \
    [&](const auto& check_a, const auto& check_b) {                              \
      if (!(check_a op check_b)) [[unlikely]] {                                  \
        ::pompc::check_internal::Failed(                                         \
            __FILE__, __LINE__, #a " " #op " " #b,                               \
            ::absl::StrCat(::pompc::check_internal::Shown(check_a), " against ", \
                           ::pompc::check_internal::Shown(check_b)),             \
            ##__VA_ARGS__);                                                      \
      }                                                                          \
    }((a), (b));                                                                 \
  } while (0)

// POMPC_CHECK_EQ(a, b[, what]) and so on; both are evaluated once.
#define POMPC_CHECK_EQ(a, b, ...) POMPC_CHECK_COMPARE(a, ==, b, ##__VA_ARGS__)
#define POMPC_CHECK_NE(a, b, ...) POMPC_CHECK_COMPARE(a, !=, b, ##__VA_ARGS__)
#define POMPC_CHECK_LE(a, b, ...) POMPC_CHECK_COMPARE(a, <=, b, ##__VA_ARGS__)
#define POMPC_CHECK_LT(a, b, ...) POMPC_CHECK_COMPARE(a, <, b, ##__VA_ARGS__)
#define POMPC_CHECK_GE(a, b, ...) POMPC_CHECK_COMPARE(a, >=, b, ##__VA_ARGS__)
#define POMPC_CHECK_GT(a, b, ...) POMPC_CHECK_COMPARE(a, >, b, ##__VA_ARGS__)

#ifdef NDEBUG
// Compiled, so that it stays correct, but never evaluated.
#define POMPC_DCHECK(condition, ...)                  \
  do {                                                \
    if (false) POMPC_CHECK(condition, ##__VA_ARGS__); \
  } while (0)
#define POMPC_DCHECK_COMPARE(a, op, b, ...)                  \
  do {                                                       \
    if (false) POMPC_CHECK_COMPARE(a, op, b, ##__VA_ARGS__); \
  } while (0)
#else
#define POMPC_DCHECK(condition, ...) POMPC_CHECK(condition, ##__VA_ARGS__)
#define POMPC_DCHECK_COMPARE(a, op, b, ...) POMPC_CHECK_COMPARE(a, op, b, ##__VA_ARGS__)
#endif

#define POMPC_DCHECK_EQ(a, b, ...) POMPC_DCHECK_COMPARE(a, ==, b, ##__VA_ARGS__)
#define POMPC_DCHECK_NE(a, b, ...) POMPC_DCHECK_COMPARE(a, !=, b, ##__VA_ARGS__)
#define POMPC_DCHECK_LE(a, b, ...) POMPC_DCHECK_COMPARE(a, <=, b, ##__VA_ARGS__)
#define POMPC_DCHECK_LT(a, b, ...) POMPC_DCHECK_COMPARE(a, <, b, ##__VA_ARGS__)
#define POMPC_DCHECK_GE(a, b, ...) POMPC_DCHECK_COMPARE(a, >=, b, ##__VA_ARGS__)
#define POMPC_DCHECK_GT(a, b, ...) POMPC_DCHECK_COMPARE(a, >, b, ##__VA_ARGS__)

#endif  // POMPC_COMMON_BASE_CHECK_H_
