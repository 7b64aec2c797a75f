#include "actor/writer_row_sink.h"

#include "common/base/check.h"

namespace pompc::actor {

bool WriterRowSink::HasRoom(int environment) {
  const bool room = writer_->HasRoom(environment);
  const auto i = static_cast<size_t>(environment);
  if (i >= have_room_.size()) have_room_.resize(i + 1);
  have_room_[i] = room;
  return room;
}

absl::Status WriterRowSink::Append(int environment, const replay::RowView& row) {
  const auto i = static_cast<size_t>(environment);
  POMPC_CHECK(i < have_room_.size() && have_room_[i], "HasRoom was not asked");
  have_room_[i] = false;
  return writer_->Append(environment, row, absl::ZeroDuration());
}

}  // namespace pompc::actor
