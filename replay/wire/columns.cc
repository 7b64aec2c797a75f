#include "replay/wire/columns.h"

#include <array>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace pompc::replay {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The field of each column; null for columns that the message does not have. They are looked up
// once for a type of message: by name, which costs a search in a hash table.
using Fields = std::array<const FieldDescriptor*, kNumColumns>;

template <typename Wanted>
Fields FieldsOf(const google::protobuf::Descriptor& message, Wanted wanted) {
  Fields fields = {};
  for (size_t c = 0; c < kNumColumns; ++c) {
    if (!wanted(c)) continue;
    const std::string name(kColumns[c].name);
    fields[c] = message.FindFieldByName(name);
    POMPC_CHECK(fields[c] != nullptr && fields[c]->type() == FieldDescriptor::TYPE_BYTES,
                absl::StrCat(message.full_name(), " has no field ", name, " of bytes"));
  }
  return fields;
}

// Rows carry versions as messages, which are filled and read by hand.
bool IsVersion(size_t column) { return kColumns[column].element == Element::kVersion; }

const Fields& FieldsOfRows() {
  static const Fields fields = FieldsOf(*proto::Rows::descriptor(), [](size_t column) {
    return column < kRowColumns && !IsVersion(column);
  });
  return fields;
}

const Fields& FieldsOfWindows() {
  static const Fields fields = FieldsOf(*proto::Windows::descriptor(), [](size_t column) {
    return kColumns[column].in_window != InWindow::kNever;
  });
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

WindowColumns MakeRoom(const RowSpec& spec, uint32_t horizon, uint32_t count,
                       proto::Windows* windows) {
  POMPC_CHECK_GT(count, 0u);
  windows->set_count(count);
  windows->set_horizon(horizon);
  WindowColumns room;
  room.count = count;
  for (size_t c = 0; c < kNumColumns; ++c) {
    const Column& column = kColumns[c];
    if (column.in_window == InWindow::kNever) continue;
    const uint64_t bytes = count * column.per_window(horizon) * column.bytes(spec);
    std::string& field = MutableBytes(windows, FieldsOfWindows()[c]);
    field.assign(bytes, '\0');
    room.columns[c] = {reinterpret_cast<std::byte*>(field.data()), bytes};
  }
  return room;
}

// The learner checks every reply: a shard of another build, or of a run with other sizes, must not
// hand it columns that it reads beyond their end.
absl::Status CheckWindows(const proto::Windows& windows, const RowSpec& spec, uint32_t count,
                          uint32_t horizon) {
  if (windows.count() != count || windows.horizon() != horizon) {
    return absl::DataLossError(absl::StrCat("windows from replay: ", windows.count(),
                                            " of horizon ", windows.horizon(), ", expected ", count,
                                            " of horizon ", horizon));
  }
  for (size_t c = 0; c < kNumColumns; ++c) {
    const Column& column = kColumns[c];
    if (column.in_window == InWindow::kNever) continue;
    const uint64_t have = BytesOf(windows, c).size();
    const uint64_t want = uint64_t{count} * column.per_window(horizon) * column.bytes(spec);
    if (have == want) continue;
    return absl::DataLossError(absl::StrCat("windows from replay: column ", column.name, " has ",
                                            have, " bytes, expected ", want));
  }
  return absl::OkStatus();
}

const std::string& BytesOf(const proto::Windows& windows, size_t column) {
  POMPC_CHECK_LT(column, kNumColumns);
  POMPC_CHECK(FieldsOfWindows()[column] != nullptr, kColumns[column].name);
  return Bytes(windows, FieldsOfWindows()[column]);
}

}  // namespace pompc::replay
