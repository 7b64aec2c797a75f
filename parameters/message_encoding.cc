#include "parameters/message_encoding.h"

#include <memory>
#include <string>

#include "common/base/check.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/support/slice.h"
#include "proto/parameters.pb.h"

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

// A slice of the snapshot's data that shares its ownership.
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

}  // namespace pompc::parameters
