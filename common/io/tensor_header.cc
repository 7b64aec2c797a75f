#include "common/io/tensor_header.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace pompc {
namespace {

// A header is read into a sorted map: one that keeps the order of the keys searches all of them for
// each key, which takes hours where a hostile file has a million.
using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr const char* kMetadataKey = "__metadata__";
// Readers of the format refuse longer headers.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
// NumPy had no more for long, and LibTorch's operations refuse more than 64.
constexpr size_t kMaxDimensions = 32;

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

absl::Status ParseMetadata(const Json& json, TensorMetadata* metadata) {
  if (!json.is_object()) return absl::DataLossError("its metadata is not a JSON object");
  for (const auto& [key, text] : json.items()) {
    if (!text.is_string()) {
      return absl::DataLossError(absl::StrCat("metadata \"", key, "\" is not a string"));
    }
    (*metadata)[key] = text.get<std::string>();
  }
  return absl::OkStatus();
}

// The entries must cover the data exactly, as other readers demand too: bytes that no entry names
// could hide anything. A writer may list them in any order. Of two that begin at one offset, the
// empty one comes first.
absl::Status SortAndCheckOffsets(std::vector<TensorEntry>* table, uint64_t data_bytes) {
  std::stable_sort(table->begin(), table->end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.offset, a.bytes) < std::tie(b.offset, b.bytes);
  });
  uint64_t expected = 0;
  for (const TensorEntry& entry : *table) {
    if (entry.offset != expected) {
      return absl::DataLossError(absl::StrCat("a gap before tensor \"", entry.name, "\""));
    }
    expected += entry.bytes;
  }
  if (expected == data_bytes) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("it holds ", data_bytes, " bytes of data, its header describes ", expected));
}

}  // namespace

std::string MakeTensorHeader(const std::vector<TensorEntry>& table,
                             const TensorMetadata& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  for (const TensorEntry& entry : table) {
    header[entry.name] = {{"dtype", entry.dtype},
                          {"shape", entry.shape},
                          {"data_offsets", {entry.offset, entry.offset + entry.bytes}}};
  }
  std::string text = header.dump();
  // Padding with spaces keeps the data aligned for readers that map the file.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&length), kTensorLengthBytes),
                      text);
}

absl::StatusOr<uint64_t> TensorHeaderBytes(absl::string_view beginning, uint64_t file_bytes) {
  if (beginning.size() < kTensorLengthBytes || file_bytes < kTensorLengthBytes) {
    return absl::DataLossError("shorter than its length field");
  }
  uint64_t length = 0;
  std::memcpy(&length, beginning.data(), kTensorLengthBytes);
  // The first eight bytes of a file in another format (.npz, .pt) are an absurd length.
  if (length <= kMaxHeaderBytes && length <= file_bytes - kTensorLengthBytes) return length;
  return absl::DataLossError(absl::StrCat("damaged, or not a safetensors file: its header of ",
                                          length, " bytes does not fit in the file's ", file_bytes,
                                          " bytes"));
}

absl::StatusOr<TensorHeader> ParseTensorHeader(absl::string_view text, uint64_t file_bytes) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError("its header is not a JSON object");
  TensorHeader header;
  header.data_begin = kTensorLengthBytes + text.size();
  if (header.data_begin > file_bytes) return absl::DataLossError("its header was cut off");
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadataKey) {
      const absl::Status status = ParseMetadata(value, &header.metadata);
      if (!status.ok()) return status;
      continue;
    }
    std::optional<TensorEntry> entry = ParseEntry(name, value);
    if (!entry.has_value()) {
      return absl::DataLossError(
          absl::StrCat("its header describes tensor \"", name, "\" wrongly"));
    }
    header.table.push_back(*std::move(entry));
  }
  const absl::Status status = SortAndCheckOffsets(&header.table, file_bytes - header.data_begin);
  if (!status.ok()) return status;
  return header;
}

}  // namespace pompc
