#include "parameters/snapshot_messages.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rpc/wire.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/support/slice.h"

namespace pompc::parameters {
namespace {

using google::protobuf::internal::WireFormatLite;

// The tag and length that stand before a field of `length` bytes.
void AppendFieldStart(int field, size_t length, std::string* bytes) {
  google::protobuf::io::StringOutputStream stream(bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  out.WriteVarint64(length);
}

// A slice of the snapshot's data that shares its ownership. All subscribers are sent slices of the
// same bytes; copies for each of them would take gigabytes with a large model.
grpc::Slice ShareData(const ParameterSnapshot& snapshot, uint64_t offset, size_t bytes) {
  using Owner = std::shared_ptr<const std::string>;
  auto* owner = new Owner(snapshot.data);
  // gRPC takes a pointer to non-const and does not write through it.
  return grpc::Slice(
      const_cast<char*>(snapshot.data->data()) + offset, bytes,
      [](void* owner) { delete static_cast<Owner*>(owner); }, owner);
}

}  // namespace

grpc::ByteBuffer EncodeDescription(const ParameterSnapshot& snapshot) {
  proto::ParametersMessage message;
  *message.mutable_description() = snapshot.description;
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer EncodeData(const ParameterSnapshot& snapshot, uint64_t offset, size_t bytes) {
  POMPC_CHECK_GT(bytes, 0u);
  POMPC_CHECK_LE(offset, snapshot.data->size());
  POMPC_CHECK_LE(bytes, snapshot.data->size() - offset);
  // ParametersMessage{data: ParametersData{version, offset, data}}, all but the last field's
  // content, which follows as a slice of its own.
  proto::ParametersData head;
  *head.mutable_version() = snapshot.description.version();
  head.set_offset(offset);
  std::string inner = head.SerializeAsString();
  AppendFieldStart(proto::ParametersData::kDataFieldNumber, bytes, &inner);
  std::string outer;
  AppendFieldStart(proto::ParametersMessage::kDataFieldNumber, inner.size() + bytes, &outer);

  const grpc::Slice slices[] = {grpc::Slice(outer + inner), ShareData(snapshot, offset, bytes)};
  return grpc::ByteBuffer(slices, 2);
}

absl::StatusOr<std::optional<ParameterSnapshot>> SnapshotAssembler::Add(
    const proto::ParametersMessage& message) {
  switch (message.kind_case()) {
    case proto::ParametersMessage::kDescription:
      POMPC_RETURN_IF_ERROR(Begin(message.description()));
      break;
    case proto::ParametersMessage::kData:
      POMPC_RETURN_IF_ERROR(Append(message.data()));
      break;
    case proto::ParametersMessage::KIND_NOT_SET:
      return absl::DataLossError("a parameters message without content");
  }
  if (data_->size() < description_.total_bytes()) return std::nullopt;
  ParameterSnapshot snapshot{std::move(description_), std::move(data_)};
  data_ = nullptr;
  POMPC_RETURN_IF_ERROR(CheckSnapshot(snapshot));
  return snapshot;
}

absl::Status SnapshotAssembler::Begin(const proto::ParametersDescription& description) {
  if (in_progress()) {
    return absl::DataLossError(
        absl::StrCat("parameters ", FromProto(description.version()).ToString(), " begin before ",
                     FromProto(description_.version()).ToString(), " is complete"));
  }
  if (description.total_bytes() > max_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("parameters ", FromProto(description.version()).ToString(), " have ",
                     description.total_bytes(), " bytes; at most ", max_bytes_, " are taken"));
  }
  description_ = description;
  // Reserved at once, as growing would copy the parameters several times; the bound was checked.
  data_ = std::make_shared<std::string>();
  data_->reserve(description.total_bytes());
  return absl::OkStatus();
}

absl::Status SnapshotAssembler::Append(const proto::ParametersData& data) {
  if (!in_progress()) return absl::DataLossError("parameter data before its description");
  const std::string version = FromProto(description_.version()).ToString();
  if (FromProto(data.version()) != FromProto(description_.version())) {
    return absl::DataLossError(absl::StrCat(
        "data of parameters ", FromProto(data.version()).ToString(), " within ", version));
  }
  POMPC_CHECK_LE(data_->size(), description_.total_bytes());
  // Chunks come in order, without gaps and not empty: an empty one could be sent for ever.
  const uint64_t room = description_.total_bytes() - data_->size();
  if (data.offset() != data_->size() || data.data().empty() || data.data().size() > room) {
    return absl::DataLossError(absl::StrCat("parameters ", version, ": ", data.data().size(),
                                            " bytes at ", data.offset(), "; expected 1 to ", room,
                                            " bytes at ", data_->size()));
  }
  data_->append(data.data());
  return absl::OkStatus();
}

}  // namespace pompc::parameters
