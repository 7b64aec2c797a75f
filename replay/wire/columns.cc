#include "replay/wire/columns.h"

#include <array>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace pompc::replay {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Rows carry versions as messages, which are filled and read by hand.
bool IsVersion(size_t column) { return kColumns[column].element == Element::kVersion; }

// The field of each column in Rows; null for columns that rows on their way do not have as bytes.
// They are looked up once: by name, which costs a search in a hash table.
const std::array<const FieldDescriptor*, kRowColumns>& FieldsOfRows() {
  static const std::array<const FieldDescriptor*, kRowColumns> fields = [] {
    std::array<const FieldDescriptor*, kRowColumns> found = {};
    for (size_t c = 0; c < kRowColumns; ++c) {
      if (IsVersion(c)) continue;
      const std::string name(kColumns[c].name);
      found[c] = proto::Rows::descriptor()->FindFieldByName(name);
      POMPC_CHECK(found[c] != nullptr && found[c]->type() == FieldDescriptor::TYPE_BYTES,
                  absl::StrCat("Rows has no field ", name, " of bytes"));
    }
    return found;
  }();
  return fields;
}

// Fields of bytes are stored as std::string, so that the scratch space which reflection asks for
// stays unused and the reference is to the message's own.
const std::string& Bytes(const Message& message, const FieldDescriptor* field) {
  std::string unused;
  return message.GetReflection()->GetStringReference(message, field, &unused);
}

// The same, to be overwritten. Reflection gives no such access, but the message is the caller's to
// change, and a string that holds something is the message's own; fields that were never set share
// an empty one.
std::string& MutableBytes(Message* message, const FieldDescriptor* field) {
  if (Bytes(*message, field).empty()) {
    message->GetReflection()->SetString(message, field, std::string(1, '\0'));
  }
  return const_cast<std::string&>(Bytes(*message, field));
}

}  // namespace

absl::StatusOr<RowView> ViewOf(const proto::Rows& rows, std::vector<ParameterVersion>* versions) {
  RowView view;
  view.count = rows.count();
  for (size_t c = 0; c < kRowColumns; ++c) {
    if (IsVersion(c)) continue;
    const std::string& bytes = Bytes(rows, FieldsOfRows()[c]);
    if (const uint64_t element = kColumns[c].element_bytes(); bytes.size() % element != 0) {
      return absl::InvalidArgumentError(absl::StrCat(kColumns[c].name, " has ", bytes.size(),
                                                     " bytes, not a multiple of ", element));
    }
    view.columns[c] = std::as_bytes(std::span(bytes));
  }
  const std::string& last = rows.final_observation();
  if (last.size() % sizeof(float) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("final_observation has ", last.size(),
                                                   " bytes, not a multiple of ", sizeof(float)));
  }
  view.final_observation = {reinterpret_cast<const float*>(last.data()),
                            last.size() / sizeof(float)};
  // Messages of messages cannot be borrowed as an array. The vector belongs to the stream and keeps
  // its memory from chunk to chunk.
  versions->clear();
  for (const proto::ParameterVersion& v : rows.versions()) {
    versions->push_back({v.incarnation(), v.number()});
  }
  view.Set<ParameterVersion>("versions", *versions);
  return view;
}

void FillRows(const RowView& rows, proto::Rows* message) {
  message->set_count(rows.count);
  for (size_t c = 0; c < kRowColumns; ++c) {
    if (IsVersion(c)) continue;
    const std::span<const std::byte> bytes = rows.columns[c];
    // A stream fills one message again and again: the field keeps its memory.
    MutableBytes(message, FieldsOfRows()[c])
        .assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  message->clear_final_observation();
  if (const std::span<const float> last = rows.final_observation; !last.empty()) {
    message->set_final_observation(reinterpret_cast<const char*>(last.data()), last.size_bytes());
  }
  const std::span<const ParameterVersion> versions = rows.Get<ParameterVersion>("versions");
  POMPC_CHECK_EQ(versions.size(), rows.count);
  message->clear_versions();
  for (const ParameterVersion& v : versions) {
    proto::ParameterVersion* const version = message->add_versions();
    version->set_incarnation(v.incarnation);
    version->set_number(v.number);
  }
}

void AppendRow(const RowView& row, bool all_columns, proto::Rows* message) {
  POMPC_CHECK_LE(row.count, 1u);
  POMPC_CHECK(message->final_observation().empty(), "rows behind the end of their segment");
  message->set_count(message->count() + row.count);
  for (size_t c = 0; c < kRowColumns && row.count > 0; ++c) {
    if (IsVersion(c) || (!all_columns && kColumns[c].count != &One)) continue;
    const FieldDescriptor* const field = FieldsOfRows()[c];
    const std::span<const std::byte> bytes = row.columns[c];
    const auto* const text = reinterpret_cast<const char*>(bytes.data());
    // An empty field shares its string with all others of its kind.
    if (Bytes(*message, field).empty()) {
      message->GetReflection()->SetString(message, field, std::string(text, bytes.size()));
    } else {
      MutableBytes(message, field).append(text, bytes.size());
    }
  }
  for (const ParameterVersion& v : row.Get<ParameterVersion>("versions")) {
    proto::ParameterVersion* const version = message->add_versions();
    version->set_incarnation(v.incarnation);
    version->set_number(v.number);
  }
  if (const std::span<const float> last = row.final_observation; !last.empty()) {
    message->set_final_observation(reinterpret_cast<const char*>(last.data()), last.size_bytes());
  }
}

}  // namespace pompc::replay
