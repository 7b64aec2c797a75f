#include "common/config/text_parser.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/config/fields.h"
#include "common/values/numbers.h"
#include "common/values/utf8.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/text_format.h"

namespace pompc::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;
using google::protobuf::io::Tokenizer;

// Keeps the first error, because those that follow are mostly consequences of it. Lines and columns
// count from 0.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (found_) return;
    found_ = true;
    line_ = line;
    column_ = column;
    message_ = message;
  }

  int line() const { return line_; }
  int column() const { return column_; }
  const std::string& message() const { return message_; }

 private:
  bool found_ = false;
  int line_ = 0;
  int column_ = 0;
  std::string message_;
};

// The place in the config at which the parser found an error.
struct Position {
  // The groups around that place, and the field that was named last ("" before the first).
  std::vector<std::string> groups;
  std::string field;
  // The line of the last token before the error. The parser reports the token after a bad name or
  // enumeration value, which may be on the next line.
  int line = 0;
};

// Reads the text a second time, token by token. Places are compared by tokens because protobuf
// counts a tab as up to eight columns, so that its columns are not positions in a line.
class Tokens {
 public:
  explicit Tokens(const std::string& text)
      : stream_(text.data(), static_cast<int>(text.size())), tokenizer_(&stream_, &ignored_) {
    tokenizer_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
  }

  bool Next() { return tokenizer_.Next(); }
  const Tokenizer::Token& current() { return tokenizer_.current(); }

 private:
  google::protobuf::io::ArrayInputStream stream_;
  FirstError ignored_;
  Tokenizer tokenizer_;
};

// Reads the tokens before (line, column) again: protobuf's messages say neither which group an
// error is in nor what is allowed there.
Position FindPosition(const std::string& text, int line, int column) {
  Tokens tokens(text);
  Position position{.line = line};
  bool value_follows = false;
  while (tokens.Next()) {
    const Tokenizer::Token& token = tokens.current();
    if (token.line > line || (token.line == line && token.column >= column)) break;
    position.line = token.line;
    if (token.text == "{" || token.text == "<") {
      position.groups.push_back(std::exchange(position.field, ""));
      value_follows = false;
    } else if (token.text == "}" || token.text == ">") {
      if (!position.groups.empty()) position.groups.pop_back();
      position.field.clear();
    } else if (token.text == ":") {
      value_follows = true;
    } else if (token.type == Tokenizer::TYPE_IDENTIFIER && !value_follows) {
      position.field = token.text;
    } else {
      value_follows = false;
      continue;
    }
    if (token.type == Tokenizer::TYPE_IDENTIFIER) value_follows = false;
  }
  return position;
}

// Returns the type of the innermost group in `type`, or nullptr if one of the groups is unknown.
const Descriptor* FindType(const Descriptor* type, const std::vector<std::string>& groups) {
  for (const std::string& group : groups) {
    const FieldDescriptor* field = type->FindFieldByName(group);
    if (field == nullptr || field->message_type() == nullptr) return nullptr;
    type = field->message_type();
  }
  return type;
}

absl::Status LocatedError(absl::string_view file, int line, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", line + 1, ": ", what));
}

// Returns protobuf's message for the error, improved where it says less than it could.
std::string Words(const std::string& text, const FirstError& error) {
  absl::string_view message = absl::StripSuffix(error.message(), ".");
  if (absl::EndsWith(message, "got: ")) return "the text ends too early; is a } missing?";
  if (!absl::EndsWith(message, "got: -")) return std::string(message);
  // For a negative number the message ends with its sign; the number is the next token.
  Tokens tokens(text);
  while (tokens.Next()) {
    const Tokenizer::Token& sign = tokens.current();
    if (sign.line != error.line() || sign.column != error.column()) continue;
    return tokens.Next() ? absl::StrCat(message, tokens.current().text) : std::string(message);
  }
  return std::string(message);
}

// Adds to protobuf's error the field, and what is allowed there.
absl::Status ExplainError(const std::string& text, absl::string_view file, const Descriptor* root,
                          const FirstError& error) {
  const Position position = FindPosition(text, error.line(), error.column());
  const Descriptor* type = FindType(root, position.groups);
  const std::string words = Words(text, error);
  if (type == nullptr || position.field.empty()) {
    return LocatedError(file, position.line, words);
  }
  const std::string scope = absl::StrJoin(position.groups, ".");
  const FieldDescriptor* field = type->FindFieldByName(position.field);
  if (field == nullptr) {
    return LocatedError(file, position.line, UnknownField(*type, scope, position.field));
  }
  return LocatedError(
      file, position.line,
      absl::StrCat(JoinPath(scope, position.field), ": ", words, "; allowed: ", Allowed(*field)));
}

// Refuses integers that are not decimal: protobuf would read 010 as 8 and 0x10 as 16, whereas --set
// and all flags read decimal numbers only.
absl::Status CheckIntegers(const std::string& text, absl::string_view file,
                           const Descriptor* root) {
  Tokens tokens(text);
  while (tokens.Next()) {
    const Tokenizer::Token& token = tokens.current();
    if (token.type != Tokenizer::TYPE_INTEGER || IsDecimalInteger(token.text)) continue;
    const Position position = FindPosition(text, token.line, token.column);
    const Descriptor* type = FindType(root, position.groups);
    const FieldDescriptor* field =
        type == nullptr ? nullptr : type->FindFieldByName(position.field);
    const std::string name = JoinPath(absl::StrJoin(position.groups, "."), position.field);
    return LocatedError(file, token.line,
                        absl::StrCat(name, ": ", token.text, " is not decimal; allowed: ",
                                     field == nullptr ? "integers in decimal" : Allowed(*field)));
  }
  return absl::OkStatus();
}

// Refuses fields that are gone where they had a value that nothing means any more. Their numbers
// and names are reserved, so that protobuf reads over them: with the value that is left, configs of
// earlier versions mean what they did.
absl::Status CheckRemoved(const std::string& text, absl::string_view file) {
  constexpr struct {
    absl::string_view name, left, instead;
  } kRemoved[] = {{"scale_kl", "true", "po_mpc.actor_weights LITERAL or RELATIVE"}};
  Tokens tokens(text);
  while (tokens.Next()) {
    for (const auto& removed : kRemoved) {
      const Tokenizer::Token name = tokens.current();
      if (name.text != removed.name || !tokens.Next() || !tokens.Next()) continue;
      if (tokens.current().text == removed.left) continue;
      return LocatedError(
          file, name.line,
          absl::StrCat("po_mpc.", removed.name, ": ", tokens.current().text,
                       " is gone; what is left is ", removed.left, ", or use ", removed.instead));
    }
  }
  return absl::OkStatus();
}

// Returns false if `text` is not a value of the field's type.
bool SetField(const std::string& text, const FieldDescriptor& field, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32: {
      const absl::StatusOr<uint32_t> value = ParseInteger<uint32_t>(text);
      if (value.ok()) reflection.SetUInt32(message, &field, *value);
      return value.ok();
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      const absl::StatusOr<uint64_t> value = ParseInteger<uint64_t>(text);
      if (value.ok()) reflection.SetUInt64(message, &field, *value);
      return value.ok();
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const std::optional<double> value = ParseNumber(text);
      if (value.has_value()) reflection.SetDouble(message, &field, *value);
      return value.has_value();
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = false;
      const bool ok = absl::SimpleAtob(text, &value);
      if (ok) reflection.SetBool(message, &field, value);
      return ok;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = field.enum_type()->FindValueByName(text);
      if (value != nullptr) reflection.SetEnum(message, &field, value);
      return value != nullptr;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(message, &field, text);
      return true;
    default:
      return false;
  }
}

// The group of a list that the text `index` names, counted from 0; the number behind the last one
// adds a group.
absl::StatusOr<Message*> GroupOfList(const std::string& scope, const FieldDescriptor& list,
                                     const std::string& index, Message* message) {
  const Reflection& reflection = *message->GetReflection();
  const int size = reflection.FieldSize(*message, &list);
  const absl::StatusOr<uint32_t> number = ParseInteger<uint32_t>(index);
  if (!number.ok() || *number > static_cast<uint32_t>(size)) {
    return absl::InvalidArgumentError(
        absl::StrCat(scope, " is a list of ", size, " groups; name a field of one, as in ", scope,
                     ".0.", list.message_type()->field(0)->name(), "; allowed: 0 to ", size,
                     ", of which ", size, " adds one"));
  }
  if (*number == static_cast<uint32_t>(size)) return reflection.AddMessage(message, &list);
  return reflection.MutableRepeatedMessage(message, &list, static_cast<int>(*number));
}

// Walks along the path, one group after the other, and sets the field at its end.
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
      return absl::InvalidArgumentError(absl::StrCat(
          scope, ": \"", value, "\" is not a valid value; allowed: ", Allowed(*field)));
    }
    if (is_last || field->message_type() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          scope, is_last ? " is a group; name a field of it" : " is a field, not a group"));
    }
    if (!field->is_repeated()) {
      message = message->GetReflection()->MutableMessage(message, field);
      continue;
    }
    POMPC_ASSIGN_OR_RETURN(message, GroupOfList(scope, *field, names[++i], message));
    scope = JoinPath(scope, names[i]);
    if (i + 1 == names.size()) {
      return absl::InvalidArgumentError(absl::StrCat(scope, " is a group; name a field of it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<proto::RunConfig> ParseRunConfig(const std::string& given, absl::string_view file) {
  POMPC_CHECK(!file.empty());
  proto::RunConfig config;
  POMPC_RETURN_IF_ERROR(ParseSettings(given, file, &config));
  return config;
}

absl::Status ParseSettings(const std::string& given, absl::string_view file, Message* message) {
  POMPC_CHECK(!file.empty());
  const std::string text(absl::StripPrefix(given, kByteOrderMark));
  // These are the byte order marks of UTF-16, which some editors write.
  if (absl::StartsWith(text, "\xff\xfe") || absl::StartsWith(text, "\xfe\xff")) {
    return LocatedError(file, 0, "the text is in UTF-16; allowed: UTF-8");
  }
  const Descriptor* const root = message->GetDescriptor();
  POMPC_RETURN_IF_ERROR(CheckIntegers(text, file, root));
  FirstError error;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  if (!parser.ParseFromString(text, message)) return ExplainError(text, file, root, error);
  POMPC_RETURN_IF_ERROR(CheckRemoved(text, file));
  int line = 0;
  const absl::Status values = CheckValues(*message, "", &tree, &line);
  if (!values.ok()) return LocatedError(file, line, values.message());
  return absl::OkStatus();
}

absl::StatusOr<proto::RunConfig> ParseResolvedConfig(const std::string& text,
                                                     absl::string_view file) {
  if (absl::StripAsciiWhitespace(text).empty()) {
    return absl::DataLossError(
        absl::StrCat(file, " is empty; it should hold the run's config with every default"));
  }
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig config, ParseRunConfig(text, file));
  // A text that is cut off between two groups still parses, and today's defaults would silently
  // replace the values that the run was made with. Groups are written in the order of their
  // numbers, and every version so far has written `stop`; fields that were added after it may be
  // missing.
  if (config.has_stop()) return config;
  return absl::DataLossError(
      absl::StrCat(file, " was cut off: its last group, `stop`, is missing"));
}

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

absl::StatusOr<const FieldDescriptor*> FindField(absl::string_view path) {
  const Descriptor* type = proto::RunConfig::descriptor();
  const FieldDescriptor* field = nullptr;
  std::string scope;
  for (absl::string_view name : absl::StrSplit(path, '.')) {
    if (field != nullptr && field->message_type() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(scope, " is a field, not a group"));
    }
    // The groups of a list have the list's fields behind a number.
    if (field != nullptr && field->is_repeated() && IsDecimalInteger(name)) {
      scope = JoinPath(scope, name);
      continue;
    }
    if (field != nullptr) type = field->message_type();
    field = type->FindFieldByName(std::string(name));
    if (field == nullptr) return absl::InvalidArgumentError(UnknownField(*type, scope, name));
    scope = JoinPath(scope, name);
  }
  if (field->message_type() == nullptr) return field;
  return absl::InvalidArgumentError(absl::StrCat(scope, " is a group; name a field of it"));
}

}  // namespace pompc::config
