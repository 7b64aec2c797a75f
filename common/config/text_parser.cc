#include "common/config/text_parser.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
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
using google::protobuf::TextFormat;
using google::protobuf::io::Tokenizer;

// Keeps the first error; lines and columns count from 0.
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

// Where in the message the parser was when it met an error.
struct Position {
  // Groups around it, and the field named last; "" before the first.
  std::vector<std::string> groups;
  std::string field;
  // Line of the last token before the error: the parser reports what follows a bad name or
  // enumeration value, which may be on the next line.
  int line = 0;
};

// The text once more, token by token. Where something stands is asked in tokens: protobuf counts a
// tab as up to eight columns, so its columns are no positions in a line.
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

// The type the groups lead to; nullptr if one of them is unknown.
const Descriptor* FindType(const std::vector<std::string>& groups) {
  const Descriptor* type = proto::RunConfig::descriptor();
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

// protobuf's words, where they say less than they could.
std::string Words(const std::string& text, const FirstError& error) {
  absl::string_view message = absl::StripSuffix(error.message(), ".");
  if (absl::EndsWith(message, "got: ")) return "the text ends too early; is a } missing?";
  if (!absl::EndsWith(message, "got: -")) return std::string(message);
  // Of a negative number it names the sign only.
  Tokens tokens(text);
  while (tokens.Next()) {
    const Tokenizer::Token& sign = tokens.current();
    if (sign.line != error.line() || sign.column != error.column()) continue;
    return tokens.Next() ? absl::StrCat(message, tokens.current().text) : std::string(message);
  }
  return std::string(message);
}

absl::Status ExplainError(const std::string& text, absl::string_view file,
                          const FirstError& error) {
  const Position position = FindPosition(text, error.line(), error.column());
  const Descriptor* type = FindType(position.groups);
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

// The first value out of its range, in the order of the fields' numbers.
absl::Status CheckRanges(const Message& message, const TextFormat::ParseInfoTree& tree,
                         absl::string_view file, absl::string_view scope) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = JoinPath(scope, field->name());
    if (field->message_type() != nullptr) {
      POMPC_RETURN_IF_ERROR(CheckRanges(message.GetReflection()->GetMessage(message, field),
                                        *tree.GetTreeForNested(field, -1), file, path));
      continue;
    }
    const absl::Status status = CheckValue(message, *field, path);
    if (!status.ok()) {
      return LocatedError(file, tree.GetLocation(field, -1).line, status.message());
    }
  }
  return absl::OkStatus();
}

// protobuf reads 010 as 8 and 0x10 as 16; elsewhere integers are decimal alone.
absl::Status CheckIntegers(const std::string& text, absl::string_view file) {
  Tokens tokens(text);
  while (tokens.Next()) {
    const Tokenizer::Token& token = tokens.current();
    if (token.type != Tokenizer::TYPE_INTEGER || IsDecimalInteger(token.text)) continue;
    const Position position = FindPosition(text, token.line, token.column);
    const Descriptor* type = FindType(position.groups);
    const FieldDescriptor* field =
        type == nullptr ? nullptr : type->FindFieldByName(position.field);
    const std::string name = JoinPath(absl::StrJoin(position.groups, "."), position.field);
    return LocatedError(file, token.line,
                        absl::StrCat(name, ": ", token.text, " is not decimal; allowed: ",
                                     field == nullptr ? "integers in decimal" : Allowed(*field)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<proto::RunConfig> ParseRunConfig(const std::string& given, absl::string_view file) {
  const std::string text(absl::StripPrefix(given, kByteOrderMark));
  // The byte order marks of UTF-16.
  if (absl::StartsWith(text, "\xff\xfe") || absl::StartsWith(text, "\xfe\xff")) {
    return LocatedError(file, 0, "the text is in UTF-16; allowed: UTF-8");
  }
  POMPC_RETURN_IF_ERROR(CheckIntegers(text, file));
  FirstError error;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(&tree);
  proto::RunConfig config;
  if (!parser.ParseFromString(text, &config)) return ExplainError(text, file, error);
  POMPC_RETURN_IF_ERROR(CheckRanges(config, tree, file, ""));
  return config;
}

absl::StatusOr<proto::RunConfig> ParseResolvedConfig(const std::string& text,
                                                     absl::string_view file) {
  if (absl::StripAsciiWhitespace(text).empty()) {
    return absl::DataLossError(
        absl::StrCat(file, " is empty: it was the run's config, with every default written out"));
  }
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig config, ParseRunConfig(text, file));
  // Text that is cut off between two groups still parses, and the defaults of today would silently
  // stand in for what the run was made with. Groups are written in the order of their numbers;
  // every version so far has written `stop`, and fields that were added behind it may be missing.
  if (config.has_stop()) return config;
  return absl::DataLossError(
      absl::StrCat(file, " was cut off: its last group, `stop`, is missing"));
}

}  // namespace pompc::config
