#ifndef POMPC_COMMON_CONFIG_OVERRIDES_H_
#define POMPC_COMMON_CONFIG_OVERRIDES_H_

#include <string>

#include "absl/status/status.h"
#include "proto/config.pb.h"

namespace pompc::config {

// Applies "path.to.field=value", as given with --set. Text needs no quotes, enumerations go by
// name. INVALID_ARGUMENT "--set path=value: what is wrong; allowed: ...", with `config` in an
// unspecified state, for an unknown field, or a value of the wrong kind or out of range.
absl::Status ApplyOverride(const std::string& assignment, proto::RunConfig* config);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_OVERRIDES_H_
