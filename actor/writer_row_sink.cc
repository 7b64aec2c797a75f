#include "actor/writer_row_sink.h"

namespace pompc::actor {

absl::Status WriterRowSink::Append(int environment, const Row& row) {
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
