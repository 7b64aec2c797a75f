#ifndef POMPC_COMMON_CONFIG_TEXT_PARSER_H_
#define POMPC_COMMON_CONFIG_TEXT_PARSER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "proto/config.pb.h"

namespace pompc::config {

// Reads a run config in protobuf text format; errors call it `file`. Fails with INVALID_ARGUMENT
// "file:line: field: what is wrong; allowed: ..." for text that does not parse, for unknown fields,
// for values outside their range, and for integers that are not decimal (--set takes only decimal
// ones, too). A byte order mark and carriage returns are ignored. The result has only those fields
// set that the text sets. REQUIRES: `file` is not empty.
absl::StatusOr<proto::RunConfig> ParseRunConfig(const std::string& text, absl::string_view file);

// Reads `message`, which may have any type with such ranges as proto/config.proto states, in the
// same way and with the same errors. REQUIRES: `file` is not empty.
absl::Status ParseSettings(const std::string& text, absl::string_view file,
                           google::protobuf::Message* message);

// Reads the resolved config of a run, in which every default is written out, from the text in a run
// directory. Fails as ParseRunConfig does, and with DATA_LOSS naming the file if the text is empty
// or its end is missing.
absl::StatusOr<proto::RunConfig> ParseResolvedConfig(const std::string& text,
                                                     absl::string_view file);

// Applies "path.to.field=value", the argument of --set. Text needs no quotes; values of
// enumerations are given by name. Fails with INVALID_ARGUMENT "--set path=value: what is wrong;
// allowed: ..." for an unknown field and for a value of the wrong type or out of range; `config`
// may then be changed.
absl::Status ApplyOverride(const std::string& assignment, proto::RunConfig* config);

// Returns the field of the run config at `path`, "learner.batch_size", which is no group. Fails
// with INVALID_ARGUMENT as ApplyOverride does if there is none.
absl::StatusOr<const google::protobuf::FieldDescriptor*> FindField(absl::string_view path);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_TEXT_PARSER_H_
