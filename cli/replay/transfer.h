#ifndef POMPC_CLI_REPLAY_TRANSFER_H_
#define POMPC_CLI_REPLAY_TRANSFER_H_

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "cli/replay/source.h"
#include "replay/client/row_reader.h"

namespace pompc::cli {

// Writes the selected rows of all shards as a data set (docs/datasets.md) and says how many.
// Statuses as replay::RowReader::Read and replay::DataSetWriter.
absl::Status ExportRows(const ReplaySource& source, const replay::RowSelection& selection,
                        const std::string& file, std::ostream& out);

// Brings a data set into the shards, which must be all of the run's, and says how many rows each
// got. What they have already is not sent again. INVALID_ARGUMENT naming what in the file the run
// does not allow, before anything is sent; FAILED_PRECONDITION naming the shards that are missing.
absl::Status ImportRows(const ReplaySource& source, const std::string& file, std::ostream& out);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPLAY_TRANSFER_H_
