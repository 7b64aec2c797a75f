#ifndef POMPC_CLI_REPLAY_SOURCE_H_
#define POMPC_CLI_REPLAY_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "replay/client/row_reader.h"

namespace pompc::cli {

// The shards that a command of `pompc replay` looks into: running ones.
class ReplaySource {
 public:
  // Connects to the shards at `where`, "host:port,host:port". INVALID_ARGUMENT for what is no
  // address, otherwise as replay::RowReader::Connect; FAILED_PRECONDITION if they belong to
  // different runs.
  static absl::StatusOr<std::unique_ptr<ReplaySource>> Open(const std::string& where);

  // In the order in which they were given; one at least.
  const std::vector<std::unique_ptr<replay::RowReader>>& shards() const { return shards_; }
  // What all of them have in common: run, sizes, task.
  const proto::ShardDescription& run() const { return shards_.front()->description(); }
  replay::RowSpec spec() const { return shards_.front()->spec(); }

 private:
  ReplaySource() = default;

  std::vector<std::unique_ptr<replay::RowReader>> shards_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPLAY_SOURCE_H_
