#ifndef POMPC_COMMON_BASE_CHECK_H_
#define POMPC_COMMON_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>
#include <string>

namespace pompc {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition,
                                     const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s does not hold: %s\n", file, line, condition, what.c_str());
  std::abort();
}

}  // namespace pompc

// Aborts with the string `what`, which is evaluated only then, if `condition` does not hold. For
// invariants: what is violated is a bug of ours, and to go on would spoil a run. Errors that the
// world can cause are statuses.
#define POMPC_CHECK(condition, what)                                                          \
  do {                                                                                        \
    if (!(condition)) ::pompc::CheckFailed(__FILE__, __LINE__, #condition, (what));           \
  } while (0)

#endif  // POMPC_COMMON_BASE_CHECK_H_
