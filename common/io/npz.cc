#include "common/io/npz.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <deque>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/io/zip_archive.h"

// The .npy format after NumPy's numpy.lib.format: a magic string, two bytes of version, the length
// of the header (2 bytes in version 1, 4 in versions 2 and 3), the header (a Python dict literal,
// padded with blanks), the numbers.
namespace pompc {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr char kSuffix[] = ".npy";
// Headers end on multiples of this, so that the numbers are aligned in the member.
constexpr size_t kAlignment = 64;
constexpr size_t kMaxDimensions = 64;

struct TypeEntry {
  NpyType type;
  const char* name;
  const char* description;
  uint64_t bytes;
};
constexpr std::array<TypeEntry, 4> kTypes = {{{NpyType::kFloat32, "float32", "<f4", 4},
                                              {NpyType::kFloat64, "float64", "<f8", 8},
                                              {NpyType::kInt64, "int64", "<i8", 8},
                                              {NpyType::kBool, "bool", "|b1", 1}}};

const TypeEntry& EntryOf(NpyType type) { return kTypes[static_cast<size_t>(type)]; }

// Bytes of the numbers; nothing if a size is negative or the product overflows.
std::optional<uint64_t> BytesOf(NpyType type, const std::vector<int64_t>& shape) {
  uint64_t bytes = EntryOf(type).bytes;
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes))
      return std::nullopt;
  }
  return bytes;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("(", absl::StrJoin(shape, ", "), shape.size() == 1 ? "," : "", ")");
}

std::string HeaderOf(const NpzArray& array) {
  std::string dict =
      absl::StrCat("{'descr': '", EntryOf(array.type).description,
                   "', 'fortran_order': False, 'shape': ", ShapeText(array.shape), ", }");
  const size_t before = kMagic.size() + 4;
  const size_t total = (before + dict.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  dict.resize(total - before - 1, ' ');
  dict.push_back('\n');
  std::string header(kMagic);
  header.append({'\1', '\0'});
  const auto length = static_cast<uint16_t>(dict.size());
  header.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return header + dict;
}

// Reads the header's dict: keys in any order, each once, values as NumPy prints them.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  bool Parse() {
    if (!Take("{")) return false;
    while (!Take("}")) {
      const std::optional<std::string_view> key = TakeString();
      if (!key || !Take(":") || !TakeValue(*key)) return false;
      if (!Take(",") && !Sees("}")) return false;
    }
    SkipBlanks();
    return rest_.empty() && has_description_ && has_order_ && has_shape_;
  }

  // As it stands in the header; empty for a structured type.
  std::string_view description;
  bool fortran_order = false;
  std::vector<int64_t> shape;

 private:
  void SkipBlanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  }
  bool Sees(std::string_view token) {
    SkipBlanks();
    return rest_.starts_with(token);
  }
  bool Take(std::string_view token) {
    if (!Sees(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  std::optional<std::string_view> TakeString() {
    SkipBlanks();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return std::nullopt;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }

  bool TakeValue(std::string_view key) {
    if (key == "descr" && !std::exchange(has_description_, true)) return TakeDescription();
    if (key == "fortran_order" && !std::exchange(has_order_, true)) {
      fortran_order = Take("True");
      return fortran_order || Take("False");
    }
    if (key == "shape" && !std::exchange(has_shape_, true)) return TakeShape();
    return false;
  }

  bool TakeDescription() {
    const std::optional<std::string_view> text = TakeString();
    if (text) description = *text;
    return text.has_value();
  }

  bool TakeShape() {
    if (!Take("(")) return false;
    while (!Take(")")) {
      SkipBlanks();
      int64_t size = 0;
      const auto number = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (number.ec != std::errc() || size < 0) return false;
      rest_.remove_prefix(static_cast<size_t>(number.ptr - rest_.data()));
      shape.push_back(size);
      if (shape.size() > kMaxDimensions) return false;
      if (!Take(",") && !Sees(")")) return false;
    }
    return true;
  }

  std::string_view rest_;
  bool has_description_ = false;
  bool has_order_ = false;
  bool has_shape_ = false;
};

// Splits a .npy file into its header's dict and its numbers.
std::optional<std::pair<std::string_view, std::string_view>> Split(std::string_view file) {
  if (!file.starts_with(kMagic) || file.size() < kMagic.size() + 4) return std::nullopt;
  const char version = file[kMagic.size()];
  if (version < 1 || version > 3) return std::nullopt;
  file.remove_prefix(kMagic.size() + 2);
  const size_t width = version == 1 ? 2 : 4;
  if (file.size() < width) return std::nullopt;
  uint32_t length = 0;
  std::memcpy(&length, file.data(), width);
  file.remove_prefix(width);
  if (file.size() < length) return std::nullopt;
  return std::make_pair(file.substr(0, length), file.substr(length));
}

absl::StatusOr<NpzArray> ReadArray(const ZipMember& member) {
  NpzArray array;
  array.name = std::string(absl::StripSuffix(member.name, kSuffix));
  if (array.name == member.name) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", member.name, "\" is no array: its name does not end in .npy"));
  }
  const auto damaged = [&](const std::string& what) {
    return absl::DataLossError(absl::StrCat("array \"", array.name, "\" ", what));
  };
  const auto parts = Split(member.content);
  if (!parts) return damaged("is no .npy file");
  if (parts->first.find('[') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("array \"", array.name, "\" has a structured type: not supported"));
  }
  HeaderParser header(parts->first);
  if (!header.Parse()) return damaged("has a header that cannot be read");
  bool known = false;
  for (const TypeEntry& entry : kTypes) {
    if (header.description != entry.description) continue;
    array.type = entry.type;
    known = true;
  }
  if (!known) {
    return absl::InvalidArgumentError(absl::StrCat("array \"", array.name, "\" is of type '",
                                                   std::string(header.description),
                                                   "': must be float32, float64, int64 or bool"));
  }
  array.shape = std::move(header.shape);
  array.fortran_order = header.fortran_order;
  array.data = parts->second;
  const std::optional<uint64_t> bytes = BytesOf(array.type, array.shape);
  if (!bytes || *bytes != array.data.size()) {
    return damaged(absl::StrCat("holds ", array.data.size(), " bytes, which ",
                                NpyTypeName(array.type), " ", ShapeText(array.shape),
                                " does not take"));
  }
  return array;
}

}  // namespace

const char* NpyTypeName(NpyType type) { return EntryOf(type).name; }

absl::StatusOr<std::string> WriteNpz(const std::vector<NpzArray>& arrays) {
  std::vector<ZipMember> members;
  // References stay valid while it grows.
  std::deque<std::string> files;
  for (const NpzArray& array : arrays) {
    if (array.fortran_order || array.shape.size() > kMaxDimensions ||
        BytesOf(array.type, array.shape) != array.data.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "array \"", array.name, "\": ", array.data.size(), " bytes are no row-major ",
          NpyTypeName(array.type), " ", ShapeText(array.shape)));
    }
    files.push_back(HeaderOf(array).append(array.data));
    members.push_back({array.name + kSuffix, files.back()});
  }
  return WriteZip(members);
}

absl::StatusOr<std::vector<NpzArray>> ReadNpz(std::string_view content) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<ZipMember> members, ReadZip(content));
  std::vector<NpzArray> arrays;
  for (const ZipMember& member : members) {
    POMPC_ASSIGN_OR_RETURN(NpzArray array, ReadArray(member));
    arrays.push_back(std::move(array));
  }
  return arrays;
}

}  // namespace pompc
