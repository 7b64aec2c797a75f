#include "common/rpc/wire.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/utf8.h"
#include "google/protobuf/descriptor.h"

namespace pompc::rpc {

proto::Header MakeHeader(absl::string_view run_id) {
  proto::Header header;
  header.set_wire_version(kWireVersion);
  header.set_run_id(std::string(run_id));
  return header;
}

absl::Status CheckWireVersion(const proto::Header& header) {
  if (header.wire_version() == kWireVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "peer speaks wire version ", header.wire_version(), ", this process version ", kWireVersion));
}

absl::Status CheckHeader(const proto::Header& header, absl::string_view run_id) {
  POMPC_RETURN_IF_ERROR(CheckWireVersion(header));
  if (header.run_id() == run_id) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("peer belongs to run \"", header.run_id(),
                                                    "\", this process to run \"", run_id, "\""));
}

absl::Status CheckOpenHeader(const proto::Header& header, absl::string_view run_id) {
  return header.run_id().empty() ? CheckWireVersion(header) : CheckHeader(header, run_id);
}

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The message's fields that are set and are text or other messages.
std::vector<const FieldDescriptor*> FieldsToVisit(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  std::erase_if(fields, [](const FieldDescriptor* field) {
    return field->type() != FieldDescriptor::TYPE_STRING && field->message_type() == nullptr;
  });
  return fields;
}

int Count(const Message& message, const FieldDescriptor& field) {
  return field.is_repeated() ? message.GetReflection()->FieldSize(message, &field) : 1;
}

std::string TextAt(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  return field.is_repeated() ? reflection.GetRepeatedString(message, &field, index)
                             : reflection.GetString(message, &field);
}

void SetTextAt(Message* message, const FieldDescriptor& field, int index, std::string text) {
  const Reflection& reflection = *message->GetReflection();
  if (field.is_repeated()) {
    reflection.SetRepeatedString(message, &field, index, std::move(text));
  } else {
    reflection.SetString(message, &field, std::move(text));
  }
}

const Message& MessageAt(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  return field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, index)
                             : reflection.GetMessage(message, &field);
}

Message* MutableMessageAt(Message* message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message->GetReflection();
  return field.is_repeated() ? reflection.MutableRepeatedMessage(message, &field, index)
                             : reflection.MutableMessage(message, &field);
}

}  // namespace

std::string FieldThatIsNoText(const Message& message) {
  for (const FieldDescriptor* field : FieldsToVisit(message)) {
    for (int i = 0; i < Count(message, *field); ++i) {
      if (field->message_type() == nullptr) {
        if (!IsUtf8(TextAt(message, *field, i))) return std::string(field->name());
        continue;
      }
      const std::string below = FieldThatIsNoText(MessageAt(message, *field, i));
      if (!below.empty()) return absl::StrCat(field->name(), ".", below);
    }
  }
  return "";
}

void MakeText(Message* message) {
  for (const FieldDescriptor* field : FieldsToVisit(*message)) {
    for (int i = 0; i < Count(*message, *field); ++i) {
      if (field->message_type() != nullptr) {
        MakeText(MutableMessageAt(message, *field, i));
        continue;
      }
      const std::string bytes = TextAt(*message, *field, i);
      if (!IsUtf8(bytes)) SetTextAt(message, *field, i, ToUtf8(bytes));
    }
  }
}

}  // namespace pompc::rpc
