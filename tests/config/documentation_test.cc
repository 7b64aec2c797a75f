#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string DefaultText(const Message& message, const FieldDescriptor& field) {
  if (!field.has_default_value()) return "none";
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, -1, &text);
  return text;
}

// Expects a row "| `path` | default | allowed | meaning |" for each field. The groups of a list are
// numbered N.
void ExpectRows(const Message& message, const std::string& scope, const std::string& page) {
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    const std::string path = JoinPath(scope, field.name());
    if (field.is_repeated()) {
      const google::protobuf::Reflection& reflection = *message.GetReflection();
      ExpectRows(*reflection.GetMessageFactory()->GetPrototype(field.message_type()),
                 JoinPath(path, "N"), page);
      continue;
    }
    if (field.message_type() != nullptr) {
      ExpectRows(message.GetReflection()->GetMessage(message, &field), path, page);
      continue;
    }
    const std::string row = absl::StrCat("| `", path, "` | ", DefaultText(message, field), " | ",
                                         Allowed(field), " | ");
    EXPECT_NE(page.find("\n" + row), std::string::npos) << "docs/configuration.md lacks the row\n"
                                                        << row;
  }
}

TEST(Documentation, EveryFieldHasItsRow) {
  std::ifstream file(std::string(POMPC_SOURCE_DIR) + "/docs/configuration.md");
  std::stringstream page;
  page << file.rdbuf();
  ExpectRows(proto::RunConfig::default_instance(), "", page.str());
}

}  // namespace
}  // namespace pompc::config
