#ifndef POMPC_TESTS_REPLAY_LEDGER_AUDIT_H_
#define POMPC_TESTS_REPLAY_LEDGER_AUDIT_H_

#include "tests/replay/ledger/referee_options.h"

namespace pompc::replay::ledger {

// Draws from every shard until it has seen each window that the shard says it has, and compares
// them with the ledgers: every acknowledged window that oldest-first eviction has left is there,
// nothing is there twice, and nothing is there that no writer wrote. To be called when no writer
// runs. Prints what it counted; returns 0, or 1 after printing what is wrong.
int Audit(const RefereeOptions& options);

}  // namespace pompc::replay::ledger

#endif  // POMPC_TESTS_REPLAY_LEDGER_AUDIT_H_
