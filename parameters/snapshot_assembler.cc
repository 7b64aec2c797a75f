#include "parameters/snapshot_assembler.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/rpc/wire.h"

namespace pompc::parameters {

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
