#ifndef POMPC_COMMON_CONFIG_DIFFERENCES_H_
#define POMPC_COMMON_CONFIG_DIFFERENCES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace pompc::config {

// A field that two configs have different values in, as they stand in protobuf text format.
struct FieldDifference {
  // "learner.batch_size".
  std::string path;
  std::string before;
  std::string now;
};

// The fields in which two messages of one type differ, in the order of the type; a field that is
// not set counts as its default. `scope` is their path, "" for whole run configs.
std::vector<FieldDifference> Differences(const google::protobuf::Message& before,
                                         const google::protobuf::Message& now,
                                         absl::string_view scope);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_DIFFERENCES_H_
