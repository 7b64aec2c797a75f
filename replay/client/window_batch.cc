#include "replay/client/window_batch.h"

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::replay {
namespace {

// The learner checks every reply: a shard of another build, or of a run with other sizes, must not
// hand it columns that it reads beyond their end.
absl::Status Check(const SampleReplyReader& reply, const RowSpec& spec, uint32_t count,
                   uint32_t horizon) {
  const proto::Windows& windows = reply.rest().windows();
  if (windows.count() != count || windows.horizon() != horizon) {
    return absl::DataLossError(absl::StrCat("windows from replay: ", windows.count(),
                                            " of horizon ", windows.horizon(), ", expected ", count,
                                            " of horizon ", horizon));
  }
  for (size_t c = 0; c < kNumColumns; ++c) {
    const Column& column = kColumns[c];
    const uint64_t want = uint64_t{count} * column.per_window(horizon) * column.bytes(spec);
    if (reply.bytes(c) == want) continue;
    return absl::DataLossError(absl::StrCat("windows from replay: column ", column.name, " has ",
                                            reply.bytes(c), " bytes, expected ", want));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<WindowBatch> WindowBatch::Parse(const grpc::ByteBuffer& message, const RowSpec& spec,
                                               uint32_t count, uint32_t horizon) {
  POMPC_ASSIGN_OR_RETURN(SampleReplyReader reply, SampleReplyReader::Parse(message));
  POMPC_RETURN_IF_ERROR(Check(reply, spec, count, horizon));
  WindowBatch batch(std::move(reply));
  for (const float probability : batch.Numbers<float>("probabilities")) {
    // The comparison is written so that NaN fails it.
    if (probability > 0 && probability <= 1) continue;
    return absl::DataLossError(
        absl::StrCat("a window from replay was drawn with probability ", probability));
  }
  return batch;
}

void WindowBatch::CopyTo(size_t column, std::byte* to) const {
  POMPC_CHECK(column < kNumColumns && kColumns[column].in_window != InWindow::kNever);
  reply_.CopyTo(column, to);
}

}  // namespace pompc::replay
