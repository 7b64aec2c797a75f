#ifndef POMPC_RUNDIR_PUT_ASIDE_H_
#define POMPC_RUNDIR_PUT_ASIDE_H_

#include <string>

#include "absl/status/statusor.h"

namespace pompc::rundir {

// Renames what is at `path` to `path`.old, or where something has that name to `path`.old-2,
// `path`.old-3 and so on: what was put aside before stays. Returns the new path. ALREADY_EXISTS
// when a thousand names are taken.
absl::StatusOr<std::string> PutAside(const std::string& path);

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_PUT_ASIDE_H_
