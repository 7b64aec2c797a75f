#include "common/config/differences.h"

#include "common/config/fields.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"

namespace pompc::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string ValueText(const Message& message, const FieldDescriptor& field) {
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, -1, &text);
  return text;
}

void Collect(const Message& before, const Message& now, absl::string_view scope,
             std::vector<FieldDifference>* differences) {
  for (int i = 0; i < before.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *before.GetDescriptor()->field(i);
    const std::string path = JoinPath(scope, field.name());
    if (field.message_type() != nullptr) {
      Collect(before.GetReflection()->GetMessage(before, &field),
              now.GetReflection()->GetMessage(now, &field), path, differences);
      continue;
    }
    const std::string was = ValueText(before, field);
    const std::string is = ValueText(now, field);
    if (was != is) differences->push_back({path, was, is});
  }
}

}  // namespace

std::vector<FieldDifference> Differences(const Message& before, const Message& now,
                                         absl::string_view scope) {
  std::vector<FieldDifference> differences;
  Collect(before, now, scope, &differences);
  return differences;
}

}  // namespace pompc::config
