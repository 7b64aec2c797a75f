#include "model/tensor_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"
#include "common/io/files.h"
#include "common/values/short_text.h"

namespace pompc::model {
namespace {

// A header is read into a sorted map: one that keeps the order of the keys searches all of them for
// each key, which takes hours where a hostile file has a million.
using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr const char* kMetadataKey = "__metadata__";
constexpr uint64_t kLengthBytes = 8;
// Readers of the format refuse longer headers.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// NumPy had no more for long, and LibTorch's operations refuse more than 64.
constexpr size_t kMaxDimensions = 32;
// Messages quote names from the file, which may be anything.
constexpr size_t kMaxMessage = 300;

std::string HeaderOf(const PackedTensors& packed, const Metadata& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  for (const TensorEntry& entry : packed.table) {
    header[entry.name] = {{"dtype", entry.dtype},
                          {"shape", entry.shape},
                          {"data_offsets", {entry.offset, entry.offset + entry.bytes}}};
  }
  std::string text = header.dump();
  // Padding with spaces keeps the data aligned for readers that map the file.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// One entry of the header; nothing if it is not as the format says.
std::optional<TensorEntry> ParseEntry(const std::string& name, const Json& json) {
  if (!json.is_object() || !json.contains("dtype") || !json["dtype"].is_string() ||
      !json.contains("shape") || !json["shape"].is_array() ||
      json["shape"].size() > kMaxDimensions || !json.contains("data_offsets") ||
      !json["data_offsets"].is_array() || json["data_offsets"].size() != 2) {
    return std::nullopt;
  }
  TensorEntry entry;
  entry.name = name;
  entry.dtype = json["dtype"].get<std::string>();
  for (const Json& size : json["shape"]) {
    if (!size.is_number_unsigned()) return std::nullopt;
    entry.shape.push_back(size.get<int64_t>());
  }
  const Json& offsets = json["data_offsets"];
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) return std::nullopt;
  entry.offset = offsets[0].get<uint64_t>();
  const uint64_t end = offsets[1].get<uint64_t>();
  if (end < entry.offset) return std::nullopt;
  entry.bytes = end - entry.offset;
  return entry;
}

absl::StatusOr<TensorFile> Parse(std::string_view content) {
  if (content.size() < kLengthBytes) return absl::DataLossError("shorter than its length field");
  uint64_t length = 0;
  std::memcpy(&length, content.data(), kLengthBytes);
  // The first eight bytes of a file in another format (.npz, .pt) are an absurd length.
  if (length > kMaxHeaderBytes || length > content.size() - kLengthBytes) {
    return absl::DataLossError(absl::StrCat("damaged, or not a safetensors file: its header of ",
                                            length, " bytes does not fit in the file's ",
                                            content.size(), " bytes"));
  }
  const std::string_view text = content.substr(kLengthBytes, length);
  const Json header = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return absl::DataLossError("its header is not a JSON object");

  TensorFile file;
  std::vector<TensorEntry> table;
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataKey) {
      if (!value.is_object()) return absl::DataLossError("its metadata is not a JSON object");
      for (const auto& [key, text_value] : value.items()) {
        if (!text_value.is_string())
          return absl::DataLossError(absl::StrCat("metadata \"", key, "\" is not a string"));
        file.metadata[key] = text_value.get<std::string>();
      }
      continue;
    }
    std::optional<TensorEntry> entry = ParseEntry(name, value);
    if (!entry)
      return absl::DataLossError(
          absl::StrCat("its header describes tensor \"", name, "\" wrongly"));
    table.push_back(*std::move(entry));
  }
  // The entries must cover the data exactly, as other readers demand too: bytes that no entry names
  // could hide anything. A writer may list them in any order. Of two that begin at one offset, the
  // empty one comes first.
  std::stable_sort(table.begin(), table.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.offset, a.bytes) < std::tie(b.offset, b.bytes);
  });
  const std::string_view data = content.substr(kLengthBytes + length);
  uint64_t expected = 0;
  for (const TensorEntry& entry : table) {
    if (entry.offset != expected)
      return absl::DataLossError(absl::StrCat("a gap before tensor \"", entry.name, "\""));
    expected += entry.bytes;
  }
  if (expected != data.size()) {
    return absl::DataLossError(
        absl::StrCat("it holds ", data.size(), " bytes of data, its header describes ", expected));
  }
  absl::StatusOr<NamedTensors> tensors = Unpack(table, data);
  if (!tensors.ok()) return absl::DataLossError(tensors.status().message());
  file.tensors = *std::move(tensors);
  return file;
}

}  // namespace

absl::Status WriteTensorFile(const std::string& path, const NamedTensors& tensors,
                             const Metadata& metadata) {
  POMPC_ASSIGN_OR_RETURN(const PackedTensors packed, Pack(tensors));
  const std::string header = HeaderOf(packed, metadata);
  const uint64_t length = header.size();
  const absl::string_view length_bytes(reinterpret_cast<const char*>(&length), kLengthBytes);
  return WriteFileAtomically(path, {length_bytes, header, packed.data});
}

absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  absl::StatusOr<TensorFile> file = Parse(content);
  if (file.ok()) return file;
  return absl::Status(file.status().code(),
                      absl::StrCat(path, ": ", ShortText(file.status().message(), kMaxMessage)));
}

}  // namespace pompc::model
