#include "actor/writer_row_sink.h"

#include "common/base/check.h"

namespace pompc::actor {

bool WriterRowSink::HasRoom(int environment) {
  const bool room = writer_->HasRoom(environment);
  if (room) have_room_.insert(environment);
  return room;
}

absl::Status WriterRowSink::Append(int environment, const Row& row) {
  POMPC_CHECK_EQ(have_room_.erase(environment), 1u, "HasRoom was not asked");
  const replay::RowView view = {.observation = row.observation,
                                .action = row.action,
                                .reward = row.reward,
                                .terminated = row.terminated,
                                .plan_mean = row.plan_mean,
                                .plan_std = row.plan_std,
                                .plan_value = row.plan_value,
                                .version = row.version};
  return writer_->Append(environment, view, absl::ZeroDuration());
}

}  // namespace pompc::actor
