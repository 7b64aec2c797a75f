#ifndef POMPC_TESTS_REPLAY_LEDGER_AUDIT_H_
#define POMPC_TESTS_REPLAY_LEDGER_AUDIT_H_

#include "tests/replay/ledger/referee_options.h"

namespace pompc::replay::ledger {

// Reads everything that the shards store and compares it with the script and with the ledgers. What
// was acknowledged is stored, unless it was evicted, and the oldest was evicted first; nothing is
// stored twice, nothing that nobody wrote; rows accepted are rows stored and rows evicted; and the
// windows are those that the stored rows make. To be called when no writer runs. Prints what it
// counted; returns 0, or 1 after printing what is wrong.
int Audit(const RefereeOptions& options);

}  // namespace pompc::replay::ledger

#endif  // POMPC_TESTS_REPLAY_LEDGER_AUDIT_H_
