#include "model/tensor_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace pompc::model {
namespace {

using Json = nlohmann::ordered_json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr const char* kMetadataKey = "__metadata__";
constexpr uint64_t kLengthBytes = 8;
// Readers of the format refuse longer headers.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

absl::Status SystemError(const std::string& doing, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(doing, " ", path));
}

std::string HeaderOf(const PackedTensors& packed, const Metadata& metadata) {
  Json header = Json::object();
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

absl::Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("writing", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// Writes the parts to a file and makes them durable.
absl::Status WriteDurably(const std::string& path, const std::vector<std::string_view>& parts) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return SystemError("creating", path);
  absl::Status status;
  for (const std::string_view part : parts) {
    if (status.ok()) status = WriteAll(fd, part, path);
  }
  if (status.ok() && ::fsync(fd) != 0) status = SystemError("syncing", path);
  if (::close(fd) != 0 && status.ok()) status = SystemError("closing", path);
  return status;
}

absl::Status SyncFolder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return SystemError("opening", folder);
  absl::Status status;
  if (::fsync(fd) != 0) status = SystemError("syncing", folder);
  ::close(fd);
  return status;
}

// One entry of the header; nothing if it is not as the format says.
std::optional<TensorEntry> ParseEntry(const std::string& name, const Json& json) {
  if (!json.is_object() || !json.contains("dtype") || !json["dtype"].is_string() ||
      !json.contains("shape") || !json["shape"].is_array() || !json.contains("data_offsets") ||
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
  if (length > kMaxHeaderBytes || length > content.size() - kLengthBytes) {
    return absl::DataLossError(absl::StrCat(
        "its header of ", length, " bytes does not fit in the file's ", content.size(), " bytes"));
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
  std::stable_sort(table.begin(), table.end(),
                   [](const TensorEntry& a, const TensorEntry& b) { return a.offset < b.offset; });
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
  if (!tensors.ok()) return absl::DataLossError(std::string(tensors.status().message()));
  file.tensors = *std::move(tensors);
  return file;
}

}  // namespace

absl::Status WriteTensorFile(const std::string& path, const NamedTensors& tensors,
                             const Metadata& metadata) {
  const absl::StatusOr<PackedTensors> packed = Pack(tensors);
  if (!packed.ok()) return packed.status();
  const std::string header = HeaderOf(*packed, metadata);
  const uint64_t length = header.size();
  const std::string_view length_bytes(reinterpret_cast<const char*>(&length), kLengthBytes);
  const std::string temporary = path + ".tmp";
  absl::Status status = WriteDurably(temporary, {length_bytes, header, packed->data});
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0)
    status = SystemError("renaming to", path);
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncFolder(path);
}

absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return SystemError("opening", path);
  std::ostringstream content;
  content << stream.rdbuf();
  if (stream.bad()) return SystemError("reading", path);
  absl::StatusOr<TensorFile> file = Parse(content.view());
  if (!file.ok()) {
    return absl::Status(file.status().code(),
                        absl::StrCat(path, ": ", std::string(file.status().message())));
  }
  return file;
}

}  // namespace pompc::model
