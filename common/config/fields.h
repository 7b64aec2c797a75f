#ifndef POMPC_COMMON_CONFIG_FIELDS_H_
#define POMPC_COMMON_CONFIG_FIELDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"

namespace pompc::config {

// Fields of the run config by reflection: their ranges, which proto/config.proto states, and the
// texts that errors have in common. Everything here is thread-safe and does not block.

// Returns what values a field may have, in words: "integer, 2 to 65536", "number, 0.001 to 100",
// "true or false", "FORWARD or REVERSE", "text".
std::string Allowed(const google::protobuf::FieldDescriptor& field);

// Returns the names that a value of an enumeration may have.
std::vector<std::string> EnumNames(const google::protobuf::EnumDescriptor& type);

// Returns "unknown field learner.udt; did you mean learner.utd? Fields of learner: batch_size, utd,
// ...". `scope` is the path of the message the name was looked up in, "" for the run config itself.
std::string UnknownField(const google::protobuf::Descriptor& type, absl::string_view scope,
                         absl::string_view name);

// Returns INVALID_ARGUMENT "path: value; allowed: ..." if the field's value in `message` is not one
// of its allowed values. REQUIRES: `field` is a singular scalar of the message's type.
absl::Status CheckValue(const google::protobuf::Message& message,
                        const google::protobuf::FieldDescriptor& field, absl::string_view path);

// Checks the values of all fields that are set in `message`, whose path is `scope`, and in the
// messages within it, in the order of the fields' numbers. Returns INVALID_ARGUMENT as CheckValue
// does for the first that is not allowed. If `tree` says where the fields stand in a text, `*line`
// then becomes the line of that field, counted from 0. REQUIRES: `line` is null if and only if
// `tree` is.
absl::Status CheckValues(const google::protobuf::Message& message, absl::string_view scope,
                         const google::protobuf::TextFormat::ParseInfoTree* tree = nullptr,
                         int* line = nullptr);

// Returns "scope.name", or "name" if `scope` is empty.
std::string JoinPath(absl::string_view scope, absl::string_view name);

// A field that has different values in two configs. The values are in protobuf text format.
struct FieldDifference {
  // The field's path, "learner.batch_size".
  std::string path;
  std::string before;
  std::string now;
};

// Returns the fields in which two messages differ, in the order of their type. A field that is not
// set counts as its default. `scope` is the messages' path, "" for whole run configs. REQUIRES:
// both messages have the same type.
std::vector<FieldDifference> Differences(const google::protobuf::Message& before,
                                         const google::protobuf::Message& now,
                                         absl::string_view scope);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_FIELDS_H_
