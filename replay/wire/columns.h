#ifndef POMPC_REPLAY_WIRE_COLUMNS_H_
#define POMPC_REPLAY_WIRE_COLUMNS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "proto/trajectory.pb.h"
#include "replay/core/row.h"

namespace pompc::replay {

// Moves the columns of a row between messages and views, for both sides of a connection. The fields
// are found by their names, so that a new column needs no line here. Windows: sample_reply.h.

// The rows of a message, borrowed; `versions` keeps the one column that has to be copied.
// INVALID_ARGUMENT if a column does not consist of whole numbers. How many there are is for the
// core to check.
absl::StatusOr<RowView> ViewOf(const proto::Rows& rows, std::vector<ParameterVersion>* versions);

// Copies rows into a message. REQUIRES: the columns have the sizes that rows.count asks for.
void FillRows(const RowView& rows, proto::Rows* message);

// Appends one row, or a final observation alone, to a message: all of its columns or, without
// `all_columns`, those that have one number whatever the spec. REQUIRES: as FillRows, for one row
// or none; the message has no final observation.
void AppendRow(const RowView& row, bool all_columns, proto::Rows* message);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_WIRE_COLUMNS_H_
