#ifndef POMPC_COMMON_CONFIG_FIELDS_H_
#define POMPC_COMMON_CONFIG_FIELDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace pompc::config {

// What messages about a field say of it, read from proto/config.proto by reflection.

// "integer, 2 to 65536", "number, 0.001 to 100", "true or false", "FORWARD or REVERSE", "text".
std::string Allowed(const google::protobuf::FieldDescriptor& field);

// Names a value of an enumeration may have.
std::vector<std::string> EnumNames(const google::protobuf::EnumDescriptor& type);

// "unknown field learner.udt; did you mean learner.utd? Fields of learner: batch_size, utd, ...".
// `scope` is the path of the message the name was looked up in, "" for the run config itself.
std::string UnknownField(const google::protobuf::Descriptor& type, absl::string_view scope,
                         absl::string_view name);

// INVALID_ARGUMENT "path: value; allowed: ..." if the field's value in `message` is none of its
// allowed ones. REQUIRES: `field` is a singular scalar that is set.
absl::Status CheckValue(const google::protobuf::Message& message,
                        const google::protobuf::FieldDescriptor& field, absl::string_view path);

// "scope.name", or "name" in the outermost scope.
std::string JoinPath(absl::string_view scope, absl::string_view name);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_FIELDS_H_
