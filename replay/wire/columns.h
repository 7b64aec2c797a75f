#ifndef POMPC_REPLAY_WIRE_COLUMNS_H_
#define POMPC_REPLAY_WIRE_COLUMNS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/trajectory.pb.h"
#include "replay/core/row.h"

namespace pompc::replay {

// Moves the columns of kColumns between messages and views, for both sides of a connection. The
// fields are found by their names, so that a new column needs no line here.

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

// Makes room in `windows` for `count` windows of `horizon` rows. The room lives as long as the
// message and is not to be used once a field of it was changed.
WindowColumns MakeRoom(const RowSpec& spec, uint32_t horizon, uint32_t count,
                       proto::Windows* windows);

// Checks that `windows` are `count` of `horizon` rows and that all columns have the sizes which
// follow. DATA_LOSS naming what differs.
absl::Status CheckWindows(const proto::Windows& windows, const RowSpec& spec, uint32_t count,
                          uint32_t horizon);

// The bytes of a column in a message. REQUIRES: `column` is the number of a column of windows.
const std::string& BytesOf(const proto::Windows& windows, size_t column);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_WIRE_COLUMNS_H_
