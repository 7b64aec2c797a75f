#ifndef POMPC_REPLAY_WIRE_TABLES_H_
#define POMPC_REPLAY_WIRE_TABLES_H_

#include <vector>

#include "proto/config.pb.h"
#include "replay/core/named_tables.h"

namespace pompc::replay {

// The tables of a shard of a run with these settings: those of replay.tables, or one with the
// defaults if there are none. The settings are valid.
std::vector<NamedTableOptions> ToNamedTables(const proto::ReplayConfig& replay);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_WIRE_TABLES_H_
