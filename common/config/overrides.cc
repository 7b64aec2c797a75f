#include "common/config/overrides.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/config/fields.h"
#include "common/values/numbers.h"

namespace pompc::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename T, typename Set>
bool SetInteger(const std::string& text, Set set) {
  const absl::StatusOr<T> value = ParseInteger<T>(text);
  if (value.ok()) set(*value);
  return value.ok();
}

bool SetEnum(const std::string& text, const FieldDescriptor& field, Message* message) {
  const auto* value = field.enum_type()->FindValueByName(text);
  if (value != nullptr) message->GetReflection()->SetEnum(message, &field, value);
  return value != nullptr;
}

bool SetBool(const std::string& text, const FieldDescriptor& field, Message* message) {
  bool value;
  if (!absl::SimpleAtob(text, &value)) return false;
  message->GetReflection()->SetBool(message, &field, value);
  return true;
}

bool SetDouble(const std::string& text, const FieldDescriptor& field, Message* message) {
  const std::optional<double> value = ParseNumber(text);
  if (value.has_value()) message->GetReflection()->SetDouble(message, &field, *value);
  return value.has_value();
}

// False if `text` is no value of the field's type.
bool SetField(const std::string& text, const FieldDescriptor& field, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return SetInteger<uint32_t>(
          text, [&](uint32_t value) { reflection.SetUInt32(message, &field, value); });
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetInteger<uint64_t>(
          text, [&](uint64_t value) { reflection.SetUInt64(message, &field, value); });
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return SetDouble(text, field, message);
    case FieldDescriptor::CPPTYPE_BOOL:
      return SetBool(text, field, message);
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(text, field, message);
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(message, &field, text);
      return true;
    default:
      return false;
  }
}

absl::Status Apply(const std::string& path, const std::string& value, proto::RunConfig* config) {
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  Message* message = config;
  std::string scope;
  for (size_t i = 0; i < names.size(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(names[i]);
    if (field == nullptr) {
      return absl::InvalidArgumentError(UnknownField(*message->GetDescriptor(), scope, names[i]));
    }
    scope = JoinPath(scope, names[i]);
    const bool is_last = i + 1 == names.size();
    if (is_last && field->message_type() == nullptr) {
      if (SetField(value, *field, message)) return CheckValue(*message, *field, scope);
      return absl::InvalidArgumentError(
          absl::StrCat(scope, ": \"", value, "\" is no such value; allowed: ", Allowed(*field)));
    }
    if (is_last || field->message_type() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          scope, is_last ? " is a group; name a field of it" : " is a field, not a group"));
    }
    message = message->GetReflection()->MutableMessage(message, field);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplyOverride(const std::string& assignment, proto::RunConfig* config) {
  const std::string context = absl::StrCat("--set ", assignment);
  const std::vector<std::string> parts = absl::StrSplit(assignment, absl::MaxSplits('=', 1));
  if (parts.size() != 2 || parts[0].empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(context, ": expected path.to.field=value, as in learner.utd=0.5"));
  }
  const std::string path(absl::StripAsciiWhitespace(parts[0]));
  const std::string value(absl::StripAsciiWhitespace(parts[1]));
  return Annotate(Apply(path, value, config), context);
}

}  // namespace pompc::config
