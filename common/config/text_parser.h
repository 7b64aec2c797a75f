#ifndef POMPC_COMMON_CONFIG_TEXT_PARSER_H_
#define POMPC_COMMON_CONFIG_TEXT_PARSER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/config.pb.h"

namespace pompc::config {

// Reads a run config in protobuf text format; `file` names it in errors. INVALID_ARGUMENT
// "file:line: field: what is wrong; allowed: ..." for text that does not parse, for unknown fields
// and for values outside their range. Only what the text sets is set in the result.
absl::StatusOr<proto::RunConfig> ParseRunConfig(const std::string& text, absl::string_view file);

// Reads the resolved config of a run, every default written out, as a run directory holds it. As
// ParseRunConfig; DATA_LOSS naming the file when it is empty or its end is missing.
absl::StatusOr<proto::RunConfig> ParseResolvedConfig(const std::string& text,
                                                     absl::string_view file);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_TEXT_PARSER_H_
