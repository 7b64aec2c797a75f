#ifndef POMPC_ACTOR_WRITER_ROW_SINK_H_
#define POMPC_ACTOR_WRITER_ROW_SINK_H_

#include <vector>

#include "actor/core/row_sink.h"
#include "replay/client/trajectory_writer.h"

namespace pompc::actor {

// Rows to the run's replay shards, for one thread. Does not own the writer, which must call its
// environments' listeners from its on_room and on_refused.
class WriterRowSink : public RowSink {
 public:
  explicit WriterRowSink(replay::TrajectoryWriter* writer) : writer_(writer) {}

  void BeginEpisode(int environment) override { writer_->BeginEpisode(environment); }
  bool HasRoom(int environment) override;
  absl::Status Append(int environment, const replay::RowView& row) override;
  absl::Status EndEpisode(int environment, std::span<const float> final_observation) override {
    return writer_->EndEpisode(environment, final_observation);
  }
  uint64_t Acknowledged(int environment) override { return writer_->Acknowledged(environment); }

 private:
  replay::TrajectoryWriter* const writer_;
  // True for each environment that has room for the row that comes next.
  std::vector<bool> have_room_;
};

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_WRITER_ROW_SINK_H_
