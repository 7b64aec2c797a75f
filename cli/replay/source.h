#ifndef POMPC_CLI_REPLAY_SOURCE_H_
#define POMPC_CLI_REPLAY_SOURCE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "replay/app.h"
#include "replay/client/row_reader.h"

namespace pompc::cli {

// The shards that a command of `pompc replay` looks into: running ones, or those whose data is in
// folders, which this process then serves to itself for as long as the object lives.
class ReplaySource {
 public:
  struct Shard {
    std::unique_ptr<replay::RowReader> reader;
    // Its address or its data folder.
    std::string place;
  };

  // Connects to the shards at `where`: addresses "host:port,host:port", the data folder of a shard,
  // or a run directory, which has one for each shard. INVALID_ARGUMENT for what is none of these;
  // NOT_FOUND naming a folder that holds no rows; FAILED_PRECONDITION naming a data folder that a
  // running shard has open, or if the shards belong to different runs; otherwise as
  // replay::RowReader::Connect and replay::App::Start. Loading a folder takes as long and as much
  // memory as its shard would. `certificates` is the folder of --certificates, for addresses;
  // empty: plaintext.
  static absl::StatusOr<std::unique_ptr<ReplaySource>> Open(const std::string& where,
                                                            const std::string& certificates);
  ~ReplaySource();

  // In the order in which they were given; one at least.
  const std::vector<Shard>& shards() const { return shards_; }
  // What all of them have in common: run, sizes, task.
  const proto::ShardDescription& run() const { return shards_.front().reader->description(); }
  replay::RowSpec spec() const { return shards_.front().reader->spec(); }

 private:
  ReplaySource() = default;

  absl::Status Connect(const rpc::Endpoint& endpoint, const std::string& place);
  absl::Status Serve(const std::string& folder);
  absl::Status CheckOneRun() const;

  // The shards of folders; they outlive those who read them.
  std::vector<std::unique_ptr<replay::App>> served_;
  std::vector<Shard> shards_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPLAY_SOURCE_H_
