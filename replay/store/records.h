#ifndef POMPC_REPLAY_STORE_RECORDS_H_
#define POMPC_REPLAY_STORE_RECORDS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replay/core/store_record.h"

namespace pompc::replay {

// The stored form of a shard's records: keys and values of a key-value store. Numbers in keys are
// big-endian, so that keys are ordered as their numbers are; numbers in values are little-endian.
// Every value begins with the CRC-32C of its key and of what follows, so that damage is found
// wherever it happened. Parsing never trusts a size: any bytes give a record or DATA_LOSS, which
// says what is wrong.

// A value that was read and is what was written.
struct ParsedChunk {
  ChunkRecord chunk;  // its columns are in `numbers`
  std::vector<uint64_t> numbers;
};
struct ParsedPlan {
  std::vector<float> mean;
  std::vector<float> std;
};

// Key of what belongs to an address: chunks (that of their first slot), plans, barred windows.
std::string AddressKey(uint64_t address);
absl::StatusOr<uint64_t> ParseAddressKey(absl::string_view key);

// Parts whose concatenation is the value of a chunk. `header` holds the first one; the others are
// the chunk's own columns. REQUIRES: columns have the sizes that chunk.spec asks for.
std::vector<absl::string_view> ChunkValue(const ChunkRecord& chunk, std::string* header);
absl::StatusOr<ParsedChunk> ParseChunk(absl::string_view value);
// Does the same without copying columns: they point into the value and have no alignment.
absl::StatusOr<ChunkRecord> ViewChunk(absl::string_view value);
// Copies rows `begin` .. count-1 of the chunk, as ParseChunk would return them. REQUIRES: columns
// have the sizes that chunk.spec asks for.
ParsedChunk CopyChunk(const ChunkRecord& chunk);

std::string PlanValue(absl::string_view key, std::span<const float> mean,
                      std::span<const float> std);
absl::StatusOr<ParsedPlan> ParsePlan(absl::string_view key, absl::string_view value);

// A value of text: the config, marks without content.
std::string TextValue(absl::string_view key, absl::string_view text);
absl::StatusOr<absl::string_view> ParseText(absl::string_view key, absl::string_view value);

std::string NumberValue(absl::string_view key, uint64_t number);
absl::StatusOr<uint64_t> ParseNumber(absl::string_view key, absl::string_view value);

std::string GrantValue(absl::string_view key, const GrantRecord& grant);
absl::StatusOr<GrantRecord> ParseGrant(absl::string_view key, absl::string_view value);

// What is known of writers. The keys of one actor's segments are together, ordered by incarnation.
std::string SegmentKey(const SegmentId& id);
std::string SegmentValue(absl::string_view key, const SegmentRecord& segment);
// First key of the segments of this incarnation of the actor.
std::string SegmentsKey(uint32_t actor_index, uint64_t incarnation);
std::string ActorKey(uint32_t actor_index);
// Key of the mark of an environment, and first key of all marks of an actor.
std::string MarkKey(uint32_t actor_index, uint32_t environment);
std::string MarkValue(absl::string_view key, const SegmentId& mark);
// A record of any of these three kinds: SegmentRecord, ActorRecord or ForgottenRecord (whose
// segment is its mark).
absl::StatusOr<StoreRecord> ParseStreamRecord(absl::string_view key, absl::string_view value);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_RECORDS_H_
