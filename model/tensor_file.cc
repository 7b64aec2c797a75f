#include "model/tensor_file.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/io/tensor_header.h"
#include "common/values/short_text.h"

namespace pompc::model {
namespace {

// Messages quote names from the file, which may be anything.
constexpr size_t kMaxMessage = 300;

absl::StatusOr<TensorFile> Parse(absl::string_view content) {
  POMPC_ASSIGN_OR_RETURN(const uint64_t length, TensorHeaderBytes(content, content.size()));
  POMPC_ASSIGN_OR_RETURN(
      TensorHeader header,
      ParseTensorHeader(content.substr(kTensorLengthBytes, length), content.size()));
  TensorFile file;
  file.metadata = std::move(header.metadata);
  const absl::string_view data = content.substr(header.data_begin);
  absl::StatusOr<NamedTensors> tensors =
      Unpack(header.table, std::string_view(data.data(), data.size()));
  if (!tensors.ok()) return absl::DataLossError(tensors.status().message());
  file.tensors = *std::move(tensors);
  return file;
}

}  // namespace

absl::Status WriteTensorFile(const std::string& path, const NamedTensors& tensors,
                             const Metadata& metadata) {
  POMPC_ASSIGN_OR_RETURN(const PackedTensors packed, Pack(tensors));
  return WriteFileAtomically(path, {MakeTensorHeader(packed.table, metadata), packed.data});
}

absl::StatusOr<TensorFile> ReadTensorFile(const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::string content, ReadFile(path));
  absl::StatusOr<TensorFile> file = Parse(content);
  if (file.ok()) return file;
  return absl::Status(file.status().code(),
                      absl::StrCat(path, ": ", ShortText(file.status().message(), kMaxMessage)));
}

}  // namespace pompc::model
