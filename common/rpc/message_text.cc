#include "common/rpc/message_text.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/status.h"
#include "common/values/utf8.h"
#include "google/protobuf/descriptor.h"

namespace pompc::rpc {
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

absl::Status CallError(const grpc::Status& status, const Message& request,
                       absl::string_view reply_type) {
  const absl::Status error = FromGrpc(status);
  // What gRPC makes of a request that the server cannot read, and of a reply that the client
  // cannot. An RPC that the server does not have is UNIMPLEMENTED with the same empty message.
  const bool unread = absl::IsUnimplemented(error) || absl::IsInternal(error);
  if (!unread) return error;
  const std::string field = FieldThatIsNoText(request);
  if (!field.empty()) {
    return absl::InternalError(absl::StrCat("the server cannot read this ",
                                            request.GetDescriptor()->name(), ": its field ", field,
                                            " is not UTF-8"));
  }
  if (error.message() == "No message returned for unary request") {
    return absl::InternalError(
        absl::StrCat("the server's ", reply_type,
                     " cannot be read: a text in it is not UTF-8, or it is of another version of "
                     "the messages"));
  }
  if (!status.error_message().empty()) return error;
  return absl::Status(
      error.code(),
      absl::StrCat("the server there has no method that takes a ", request.GetDescriptor()->name(),
                   ", or cannot read it: is it another role of pompc, or another "
                   "version?"));
}

}  // namespace pompc::rpc
