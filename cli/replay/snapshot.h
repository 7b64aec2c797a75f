#ifndef POMPC_CLI_REPLAY_SNAPSHOT_H_
#define POMPC_CLI_REPLAY_SNAPSHOT_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace pompc::cli {

// Lets running shards keep a copy of their rows under this name, and prints where it is: the shards
// at `where` ("host:port,host:port"), or all those of the run whose directory `where` is, through
// its learner. `certificates` is the folder of --certificates; empty: plaintext. NOT_FOUND and
// FAILED_PRECONDITION as rundir::ReadServedRun; otherwise as the calls in proto/replay.proto and
// proto/run.proto.
absl::Status SnapshotShards(const std::string& where, const std::string& certificates,
                            const std::string& name, std::ostream& out);

// Makes a data folder `to` of the snapshot of this name in the data folder `from`; or all those of
// the run directory `to` of the snapshots in the run directory `from`. Where one of several cannot
// be restored, none is. Statuses as replay::RestoreSnapshot.
absl::Status RestoreShards(const std::string& from, const std::string& name, const std::string& to,
                           std::ostream& out);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPLAY_SNAPSHOT_H_
