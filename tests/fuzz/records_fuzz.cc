// The stored form of a shard's records: any bytes, and any bytes behind a checksum that matches
// them, are a record or DATA_LOSS. A chunk that is read is written as the same bytes again.
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/crc32c.h"
#include "replay/store/records.h"
#include "tests/fuzz/byte_source.h"

namespace pompc::replay {
namespace {

// The bytes behind their checksum, as a disk that breaks no bit would give them.
std::string Sealed(absl::string_view key, absl::string_view payload) {
  const uint32_t crc = Crc32c(payload, Crc32c(key));
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&crc), sizeof(crc)), payload);
}

void ReadChunk(absl::string_view value) {
  const absl::StatusOr<ParsedChunk> parsed = ParseChunk(value);
  if (!parsed.ok()) {
    POMPC_CHECK(absl::IsDataLoss(parsed.status()), parsed.status().ToString());
    return;
  }
  POMPC_CHECK_OK(CheckSizes(parsed->chunk.spec, parsed->chunk.rows));
  std::string header, again;
  for (const absl::string_view part : ChunkValue(parsed->chunk, &header)) {
    again.append(part.data(), part.size());
  }
  POMPC_CHECK(again == value, "a chunk is not written as it was read");
}

void ReadOthers(absl::string_view key, absl::string_view value) {
  (void)ParseAddressKey(key);
  (void)ParsePlan(key, value);
  (void)ParseText(key, value);
  (void)ParseNumber(key, value);
  (void)ParseGrant(key, value);
  (void)ParseStreamRecord(key, value);
}

}  // namespace

// Has the name of C in any namespace.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pompc::ByteSource input(data, size);
  const uint32_t kind = input.Below(4);
  if (kind == 0) {
    ReadChunk(input.Rest());
  } else if (kind == 1) {
    ReadChunk(Sealed("", input.Rest()));
  } else {
    const std::string key(input.Bytes(input.Below(32)));
    const std::string payload(input.Rest());
    ReadOthers(key, kind == 2 ? payload : Sealed(key, payload));
  }
  return 0;
}

}  // namespace pompc::replay
