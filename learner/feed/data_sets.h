#ifndef POMPC_LEARNER_FEED_DATA_SETS_H_
#define POMPC_LEARNER_FEED_DATA_SETS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"
#include "replay/client/data_set_import.h"

namespace pompc::learner {

// Opens the data sets that replay.import names, in its order, and checks all their numbers, which
// reads them whole. INVALID_ARGUMENT naming the file and what is wrong: a row that the run's shards
// would refuse, rows of other sizes, another task or action repeat than the run's, the same rows
// twice; otherwise as replay::DataSet::Open. Logs a warning if replay
// cannot hold all of them.
absl::StatusOr<std::vector<replay::CheckedDataSet>> OpenDataSets(const proto::RunConfig& config);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_DATA_SETS_H_
