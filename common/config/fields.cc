#include "common/config/fields.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "proto/config.pb.h"

namespace pompc::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Returns the number of letters to change, insert or remove to turn `a` into `b` (Levenshtein).
// Only one row of the table is kept: row[j] is the distance between the letters of `a` so far and
// the first j of `b`.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// Returns the path of a field called `name` anywhere below `type`, or "" if there is none.
std::string FindBelow(const Descriptor& type, absl::string_view scope, absl::string_view name) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = JoinPath(scope, field.name());
    if (absl::string_view(field.name()) == name) return path;
    if (field.message_type() == nullptr) continue;
    std::string found = FindBelow(*field.message_type(), path, name);
    if (!found.empty()) return found;
  }
  return "";
}

// Returns the field that was probably meant, or "" if none is close. A field of the same group that
// is spelled almost like `name` comes first, then one of exactly this name in another group.
std::string Suggestion(const Descriptor& type, absl::string_view scope, absl::string_view name) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (int i = 0; i < type.field_count(); ++i) {
    const size_t distance = EditDistance(name, type.field(i)->name());
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = JoinPath(scope, type.field(i)->name());
  }
  if (!best.empty()) return best;
  return FindBelow(*proto::RunConfig::descriptor(), "", name);
}

std::string RootName(const Descriptor& type) {
  return &type == proto::RunConfig::descriptor() ? "the run config" : "the file";
}

// Writes whole numbers out in full as long as that is readable: 65536, not 6.5536e+04.
std::string Number(double value) {
  if (std::abs(value) < 1e7 && value == std::floor(value)) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  return absl::StrCat(value);
}

std::string RangeText(const FieldDescriptor& field) {
  if (!field.options().HasExtension(proto::range)) return "";
  const proto::Range& range = field.options().GetExtension(proto::range);
  if (std::isinf(range.max())) return absl::StrCat(", at least ", Number(range.min()));
  if (std::isinf(range.min())) return absl::StrCat(", at most ", Number(range.max()));
  return absl::StrCat(", ", Number(range.min()), " to ", Number(range.max()));
}

bool IsNumber(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
    case FieldDescriptor::CPPTYPE_ENUM:
    case FieldDescriptor::CPPTYPE_MESSAGE:
    case FieldDescriptor::CPPTYPE_STRING:
      return false;
    default:
      return true;
  }
}

double NumberValue(const Message& message, const FieldDescriptor& field) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(reflection.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(reflection.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.GetFloat(message, &field);
    default:
      return reflection.GetDouble(message, &field);
  }
}

// Ranges are options of the fields in proto/config.proto, so that a new setting states its range in
// one place and every program enforces it.
bool IsAllowed(const Message& message, const FieldDescriptor& field) {
  if (field.enum_type() != nullptr) {
    return message.GetReflection()->GetEnum(message, &field)->number() != 0;
  }
  if (!IsNumber(field)) return true;
  const double value = NumberValue(message, field);
  const proto::Range& range = field.options().GetExtension(proto::range);
  // The comparisons are written so that NaN is out of range.
  return value >= range.min() && value <= range.max() && std::isfinite(value);
}

std::string ValueText(const Message& message, const FieldDescriptor& field) {
  std::string text;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, -1, &text);
  return text;
}

// A list in text format, "" if it is empty.
std::string ListText(const Message& message, const FieldDescriptor& field) {
  std::vector<std::string> texts;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    const Message& group = message.GetReflection()->GetRepeatedMessage(message, &field, i);
    texts.push_back(group.ShortDebugString());
  }
  return texts.empty() ? "" : absl::StrCat("[{", absl::StrJoin(texts, "}, {"), "}]");
}

// Groups are compared field by field, so that a difference names the setting and not its group;
// lists are compared as a whole.
void Collect(const Message& before, const Message& now, absl::string_view scope,
             std::vector<FieldDifference>* differences) {
  for (int i = 0; i < before.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *before.GetDescriptor()->field(i);
    const std::string path = JoinPath(scope, field.name());
    if (field.message_type() != nullptr && !field.is_repeated()) {
      Collect(before.GetReflection()->GetMessage(before, &field),
              now.GetReflection()->GetMessage(now, &field), path, differences);
      continue;
    }
    // Texts are compared, not values: there is one comparison for all types, and both are needed
    // for the answer.
    const auto text = field.is_repeated() ? ListText : ValueText;
    const std::string was = text(before, field);
    const std::string is = text(now, field);
    if (was != is) differences->push_back({path, was, is});
  }
}

}  // namespace

std::string JoinPath(absl::string_view scope, absl::string_view name) {
  return absl::StrCat(scope, scope.empty() ? "" : ".", name);
}

// The value 0 of each enumeration is ..._UNSPECIFIED, which nobody may set.
std::vector<std::string> EnumNames(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) names.emplace_back(type.value(i)->name());
  }
  return names;
}

std::string Allowed(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrJoin(EnumNames(*field.enum_type()), " or ");
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat("number", RangeText(field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return field.is_repeated() ? "groups of fields, each in { }" : "a group of fields in { }";
    default:
      return absl::StrCat("integer", RangeText(field));
  }
}

// The list of fields follows the suggestion: a wrong guess still leads on.
std::string UnknownField(const Descriptor& type, absl::string_view scope, absl::string_view name) {
  std::vector<std::string> fields;
  for (int i = 0; i < type.field_count(); ++i) fields.emplace_back(type.field(i)->name());
  const std::string suggestion = Suggestion(type, scope, name);
  return absl::StrCat("unknown field ", JoinPath(scope, name),
                      suggestion.empty() ? "" : absl::StrCat("; did you mean ", suggestion, "?"),
                      suggestion.empty() ? "; fields of " : " Fields of ",
                      scope.empty() ? RootName(type) : std::string(scope), ": ",
                      absl::StrJoin(fields, ", "));
}

absl::Status CheckValue(const Message& message, const FieldDescriptor& field,
                        absl::string_view path) {
  POMPC_CHECK(field.containing_type() == message.GetDescriptor());
  POMPC_CHECK(!field.is_repeated() && field.message_type() == nullptr);
  if (IsAllowed(message, field)) return absl::OkStatus();
  std::string value;
  google::protobuf::TextFormat::PrintFieldValueToString(message, &field, -1, &value);
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", value, " is out of range; allowed: ", Allowed(field)));
}

absl::Status CheckValues(const Message& message, absl::string_view scope,
                         const google::protobuf::TextFormat::ParseInfoTree* tree, int* line) {
  POMPC_CHECK_EQ(tree == nullptr, line == nullptr);
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = JoinPath(scope, field->name());
    if (field->is_repeated()) {
      // The values of lists have no ranges.
      if (field->message_type() == nullptr) continue;
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        POMPC_RETURN_IF_ERROR(
            CheckValues(message.GetReflection()->GetRepeatedMessage(message, field, i),
                        JoinPath(path, absl::StrCat(i)),
                        tree == nullptr ? nullptr : tree->GetTreeForNested(field, i), line));
      }
      continue;
    }
    if (field->message_type() != nullptr) {
      POMPC_RETURN_IF_ERROR(
          CheckValues(message.GetReflection()->GetMessage(message, field), path,
                      tree == nullptr ? nullptr : tree->GetTreeForNested(field, -1), line));
      continue;
    }
    const absl::Status status = CheckValue(message, *field, path);
    if (status.ok()) continue;
    if (tree != nullptr) *line = tree->GetLocation(field, -1).line;
    return status;
  }
  return absl::OkStatus();
}

std::vector<FieldDifference> Differences(const Message& before, const Message& now,
                                         absl::string_view scope) {
  POMPC_CHECK(before.GetDescriptor() == now.GetDescriptor());
  std::vector<FieldDifference> differences;
  Collect(before, now, scope, &differences);
  return differences;
}

}  // namespace pompc::config
