#include "replay/store/records.h"

#include <concepts>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/crc32c.h"
#include "common/values/float_bytes.h"

namespace pompc::replay {
namespace {

// What a chunk's value begins with behind its checksum. A value of another form is not read as
// this one.
constexpr uint32_t kChunkForm = 0x31434d50;  // "PMC1"
// No chunk is larger: sizes beyond these cannot overflow what is computed from them.
constexpr uint64_t kMaxRows = 1 << 20;
constexpr uint64_t kMaxNumbers = 1 << 20;

constexpr char kSegmentPrefix = 's', kActorPrefix = 'a', kMarkPrefix = 'm';

// The columns that chunks consist of: their names and what their numbers are. Chunks of a program
// with other columns are not read as this one's.
uint32_t Schema() {
  static const uint32_t schema = [] {
    uint32_t crc = 0;
    for (size_t c = 0; c < kRowColumns; ++c) {
      crc = Crc32c(kColumns[c].name, crc);
      crc = Crc32c(absl::StrCat(" ", static_cast<int>(kColumns[c].element), ";"), crc);
    }
    return crc;
  }();
  return schema;
}

template <std::unsigned_integral T>
void PutBigEndian(T number, std::string* key) {
  for (int shift = 8 * (sizeof(T) - 1); shift >= 0; shift -= 8) {
    key->push_back(static_cast<char>(number >> shift));
  }
}

// Reads numbers from the front of what is left of some bytes.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  T Little() {
    T number = {};
    if (Take(sizeof(T))) std::memcpy(&number, taken_.data(), sizeof(T));
    return number;
  }
  template <std::unsigned_integral T>
  T Big() {
    T number = 0;
    if (!Take(sizeof(T))) return number;
    for (const char byte : taken_)
      number = static_cast<T>(number << 8 | static_cast<uint8_t>(byte));
    return number;
  }
  absl::string_view Bytes(uint64_t size) { return Take(size) ? taken_ : absl::string_view(); }

  size_t left() const { return bytes_.size(); }
  // True if there was less than was asked for, or more than was read.
  bool WrongSize() const { return short_ || !bytes_.empty(); }
  bool Short() const { return short_; }

 private:
  bool Take(uint64_t size) {
    short_ |= size > bytes_.size();
    if (short_) return false;
    taken_ = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }

  absl::string_view bytes_, taken_;
  bool short_ = false;
};

template <typename T>
void PutLittle(T number, std::string* value) {
  static_assert(std::is_trivially_copyable_v<T>);
  value->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// Puts the checksum in front.
std::string Seal(absl::string_view key, absl::string_view payload) {
  std::string value;
  PutLittle(Crc32c(payload, Crc32c(key)), &value);
  value.append(payload.data(), payload.size());
  return value;
}

absl::StatusOr<absl::string_view> Unseal(absl::string_view key, absl::string_view value) {
  if (value.size() < sizeof(uint32_t)) {
    return absl::DataLossError(absl::StrCat("has ", value.size(), " bytes, less than a checksum"));
  }
  const absl::string_view payload = value.substr(sizeof(uint32_t));
  if (Reader(value).Little<uint32_t>() != Crc32c(payload, Crc32c(key))) {
    return absl::DataLossError("its checksum does not match its content");
  }
  return payload;
}

absl::Status WrongSize(absl::string_view what) {
  return absl::DataLossError(absl::StrCat(what, " is too short or too long"));
}

// The text of no bytes has an address all the same, for memcpy takes no null pointer, whatever the
// number of bytes.
absl::string_view AsText(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "";
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
absl::string_view AsText(std::span<const float> numbers) { return AsText(std::as_bytes(numbers)); }

void PutPosition(const SegmentId& id, std::string* key) {
  PutBigEndian(id.episode, key);
  PutBigEndian(id.segment, key);
}

// Points the columns of a chunk of `count` rows at the bytes that are left of `value`.
absl::Status PointColumns(uint32_t count, bool has_final, Reader value, ChunkRecord* chunk) {
  const RowSpec& spec = chunk->spec;
  const uint64_t final_bytes = has_final ? spec.observation_size * sizeof(float) : 0;
  uint64_t bytes = final_bytes;
  for (size_t c = 0; c < kRowColumns; ++c) bytes += count * kColumns[c].bytes(spec);
  if (bytes != value.left()) {
    return absl::DataLossError(
        absl::StrCat("its columns have ", value.left(), " bytes, expected ", bytes));
  }
  chunk->rows.count = count;
  for (size_t c = 0; c < kRowColumns; ++c) {
    const absl::string_view column = value.Bytes(count * kColumns[c].bytes(spec));
    chunk->rows.columns[c] = {reinterpret_cast<const std::byte*>(column.data()), column.size()};
  }
  const absl::string_view observation = value.Bytes(final_bytes);
  chunk->rows.final_observation = {reinterpret_cast<const float*>(observation.data()),
                                   observation.size() / sizeof(float)};
  return absl::OkStatus();
}

}  // namespace

std::string AddressKey(uint64_t address) {
  std::string key;
  PutBigEndian(address, &key);
  return key;
}

absl::StatusOr<uint64_t> ParseAddressKey(absl::string_view key) {
  Reader reader(key);
  const uint64_t address = reader.Big<uint64_t>();
  if (reader.WrongSize()) return WrongSize("its key");
  return address;
}

std::vector<absl::string_view> ChunkValue(const ChunkRecord& chunk, std::string* header) {
  const RowView& rows = chunk.rows;
  POMPC_CHECK_LE(chunk.begin, rows.count);
  const uint32_t count = rows.count - chunk.begin;
  std::string fields;
  PutLittle(kChunkForm, &fields);
  PutLittle(Schema(), &fields);
  PutLittle(chunk.spec.observation_size, &fields);
  PutLittle(chunk.spec.action_size, &fields);
  PutLittle(count, &fields);
  PutLittle(uint32_t{rows.final_observation.empty() ? 0u : 1u}, &fields);
  PutLittle(chunk.segment.actor_index, &fields);
  PutLittle(chunk.segment.environment, &fields);
  PutLittle(chunk.segment.segment, &fields);
  for (const uint64_t number :
       {chunk.segment.incarnation, chunk.segment.episode, chunk.first_row + chunk.begin,
        chunk.address, chunk.previous, chunk.oldest, chunk.accepted_rows, chunk.planned_rows,
        chunk.imported_rows}) {
    PutLittle(number, &fields);
  }
  std::vector<absl::string_view> parts = {absl::string_view()};
  for (size_t c = 0; c < kRowColumns; ++c) {
    const uint64_t row_bytes = kColumns[c].bytes(chunk.spec);
    POMPC_CHECK_EQ(rows.columns[c].size(), rows.count * row_bytes, kColumns[c].name);
    parts.push_back(AsText(rows.columns[c].subspan(chunk.begin * row_bytes)));
  }
  parts.push_back(AsText(rows.final_observation));
  uint32_t crc = Crc32c(fields);
  for (const absl::string_view part : parts) crc = Crc32c(part, crc);
  header->clear();
  PutLittle(crc, header);
  header->append(fields);
  parts.front() = *header;
  return parts;
}

absl::StatusOr<ChunkRecord> ViewChunk(absl::string_view value) {
  // The address is in the payload, so the key need not be in the checksum.
  POMPC_ASSIGN_OR_RETURN(const absl::string_view payload, Unseal("", value));
  Reader reader(payload);
  const uint32_t form = reader.Little<uint32_t>(), schema = reader.Little<uint32_t>();
  ChunkRecord chunk;
  chunk.spec.observation_size = reader.Little<uint32_t>();
  chunk.spec.action_size = reader.Little<uint32_t>();
  const uint32_t count = reader.Little<uint32_t>(), has_final = reader.Little<uint32_t>();
  chunk.segment.actor_index = reader.Little<uint32_t>();
  chunk.segment.environment = reader.Little<uint32_t>();
  chunk.segment.segment = reader.Little<uint32_t>();
  for (uint64_t* number :
       {&chunk.segment.incarnation, &chunk.segment.episode, &chunk.first_row, &chunk.address,
        &chunk.previous, &chunk.oldest, &chunk.accepted_rows, &chunk.planned_rows,
        &chunk.imported_rows}) {
    *number = reader.Little<uint64_t>();
  }
  if (reader.Short()) return WrongSize("it");
  if (form != kChunkForm || schema != Schema()) {
    return absl::DataLossError("it was written by a version of pompc-replay with other columns");
  }
  // A row without an observation would make a final one that is not seen.
  if (count > kMaxRows || chunk.spec.observation_size > kMaxNumbers ||
      chunk.spec.action_size > kMaxNumbers || chunk.spec.observation_size == 0 ||
      chunk.spec.action_size == 0 || has_final > 1) {
    return absl::DataLossError(absl::StrCat("it claims ", count, " rows of ",
                                            chunk.spec.observation_size, " and ",
                                            chunk.spec.action_size, " numbers"));
  }
  POMPC_RETURN_IF_ERROR(PointColumns(count, has_final != 0, reader, &chunk));
  const absl::Status sizes = CheckSizes(chunk.spec, chunk.rows);
  if (!sizes.ok()) return absl::DataLossError(sizes.message());
  if (chunk.previous != Table::kNoAddress && chunk.previous >= chunk.address) {
    return absl::DataLossError("the row before it in its segment comes later");
  }
  return chunk;
}

absl::StatusOr<ParsedChunk> ParseChunk(absl::string_view value) {
  POMPC_ASSIGN_OR_RETURN(const ChunkRecord chunk, ViewChunk(value));
  return CopyChunk(chunk);
}

// Each column begins where the largest number is aligned.
ParsedChunk CopyChunk(const ChunkRecord& chunk) {
  POMPC_CHECK_LE(chunk.begin, chunk.rows.count);
  ParsedChunk copy{.chunk = chunk};
  RowView& rows = copy.chunk.rows;
  rows.count -= chunk.begin;
  copy.chunk.first_row += chunk.begin;
  copy.chunk.begin = 0;
  const auto words = [](size_t bytes) { return (bytes + 7) / 8; };
  size_t total = words(rows.final_observation.size_bytes());
  for (size_t c = 0; c < kRowColumns; ++c) {
    rows.columns[c] = rows.columns[c].subspan(chunk.begin * kColumns[c].bytes(chunk.spec));
    total += words(rows.columns[c].size());
  }
  copy.numbers.resize(total);
  uint64_t* to = copy.numbers.data();
  const auto move = [&](std::span<const std::byte> bytes) {
    const auto* const at = reinterpret_cast<const std::byte*>(to);
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    to += words(bytes.size());
    return std::span(at, bytes.size());
  };
  for (size_t c = 0; c < kRowColumns; ++c) rows.columns[c] = move(rows.columns[c]);
  const auto observation = move(std::as_bytes(rows.final_observation));
  rows.final_observation = {reinterpret_cast<const float*>(observation.data()),
                            observation.size() / sizeof(float)};
  return copy;
}

std::string PlanValue(absl::string_view key, std::span<const float> mean,
                      std::span<const float> std) {
  POMPC_CHECK_EQ(mean.size(), std.size());
  return Seal(key, absl::StrCat(AsText(mean), AsText(std)));
}

absl::StatusOr<ParsedPlan> ParsePlan(absl::string_view key, absl::string_view value) {
  POMPC_ASSIGN_OR_RETURN(const absl::string_view payload, Unseal(key, value));
  const size_t numbers = payload.size() / sizeof(float) / 2;
  if (payload.size() != 2 * numbers * sizeof(float)) return WrongSize("it");
  ParsedPlan plan;
  for (std::vector<float>* half : {&plan.mean, &plan.std}) {
    half->resize(numbers);
    const size_t begin = half == &plan.mean ? 0 : numbers * sizeof(float);
    if (numbers > 0) std::memcpy(half->data(), payload.data() + begin, numbers * sizeof(float));
  }
  return plan;
}

std::string TextValue(absl::string_view key, absl::string_view text) { return Seal(key, text); }

absl::StatusOr<absl::string_view> ParseText(absl::string_view key, absl::string_view value) {
  return Unseal(key, value);
}

std::string NumberValue(absl::string_view key, uint64_t number) {
  std::string payload;
  PutLittle(number, &payload);
  return Seal(key, payload);
}

absl::StatusOr<uint64_t> ParseNumber(absl::string_view key, absl::string_view value) {
  POMPC_ASSIGN_OR_RETURN(const absl::string_view payload, Unseal(key, value));
  Reader reader(payload);
  const uint64_t number = reader.Little<uint64_t>();
  if (reader.WrongSize()) return WrongSize("it");
  return number;
}

std::string GrantValue(absl::string_view key, const GrantRecord& grant) {
  const ParameterVersion version = grant.newest_version.value_or(ParameterVersion());
  std::string payload;
  PutLittle(static_cast<uint8_t>(grant.seed_phase_over), &payload);
  PutLittle(static_cast<uint8_t>(grant.newest_version.has_value()), &payload);
  PutLittle(version.incarnation, &payload);
  PutLittle(version.number, &payload);
  return Seal(key, payload);
}

absl::StatusOr<GrantRecord> ParseGrant(absl::string_view key, absl::string_view value) {
  POMPC_ASSIGN_OR_RETURN(const absl::string_view payload, Unseal(key, value));
  Reader reader(payload);
  GrantRecord grant;
  grant.seed_phase_over = reader.Little<uint8_t>() != 0;
  const bool has_version = reader.Little<uint8_t>() != 0;
  ParameterVersion version;
  version.incarnation = reader.Little<uint64_t>();
  version.number = reader.Little<uint64_t>();
  if (reader.WrongSize()) return WrongSize("it");
  if (has_version) grant.newest_version = version;
  return grant;
}

std::string SegmentsKey(uint32_t actor_index, uint64_t incarnation) {
  std::string key(1, kSegmentPrefix);
  PutBigEndian(actor_index, &key);
  PutBigEndian(incarnation, &key);
  return key;
}

std::string SegmentKey(const SegmentId& id) {
  std::string key = SegmentsKey(id.actor_index, id.incarnation);
  PutBigEndian(id.environment, &key);
  PutPosition(id, &key);
  return key;
}

std::string SegmentValue(absl::string_view key, const SegmentRecord& segment) {
  std::string payload;
  PutLittle(segment.next_row, &payload);
  PutLittle(segment.tail, &payload);
  PutLittle(segment.changed_at, &payload);
  PutLittle(static_cast<uint8_t>(segment.ended), &payload);
  PutLittle(static_cast<uint8_t>(segment.terminated), &payload);
  PutLittle(static_cast<uint32_t>(segment.refused.code()), &payload);
  payload.append(std::string(segment.refused.message()));
  return Seal(key, payload);
}

std::string ActorKey(uint32_t actor_index) {
  std::string key(1, kActorPrefix);
  PutBigEndian(actor_index, &key);
  return key;
}

std::string MarkKey(uint32_t actor_index, uint32_t environment) {
  std::string key(1, kMarkPrefix);
  PutBigEndian(actor_index, &key);
  PutBigEndian(environment, &key);
  return key;
}

std::string MarkValue(absl::string_view key, const SegmentId& mark) {
  std::string payload;
  PutLittle(mark.incarnation, &payload);
  PutLittle(mark.episode, &payload);
  PutLittle(mark.segment, &payload);
  return Seal(key, payload);
}

namespace {

absl::StatusOr<StoreRecord> ParseSegment(Reader key, Reader value) {
  SegmentRecord record;
  record.id.actor_index = key.Big<uint32_t>();
  record.id.incarnation = key.Big<uint64_t>();
  record.id.environment = key.Big<uint32_t>();
  record.id.episode = key.Big<uint64_t>();
  record.id.segment = key.Big<uint32_t>();
  record.next_row = value.Little<uint64_t>();
  record.tail = value.Little<uint64_t>();
  record.changed_at = value.Little<uint64_t>();
  record.ended = value.Little<uint8_t>() != 0;
  record.terminated = value.Little<uint8_t>() != 0;
  const uint32_t code = value.Little<uint32_t>();
  const absl::string_view message = value.Bytes(value.left());
  if (key.WrongSize() || value.WrongSize()) return WrongSize("it");
  record.refused = absl::Status(static_cast<absl::StatusCode>(code), message);
  return record;
}

absl::StatusOr<StoreRecord> ParseActor(Reader key, Reader value) {
  ActorRecord record;
  record.actor_index = key.Big<uint32_t>();
  record.incarnation = value.Little<uint64_t>();
  if (key.WrongSize() || value.WrongSize()) return WrongSize("it");
  return record;
}

absl::StatusOr<StoreRecord> ParseMark(Reader key, Reader value) {
  ForgottenRecord record;
  record.mark.actor_index = key.Big<uint32_t>();
  record.mark.environment = key.Big<uint32_t>();
  record.mark.incarnation = value.Little<uint64_t>();
  record.mark.episode = value.Little<uint64_t>();
  record.mark.segment = value.Little<uint32_t>();
  if (key.WrongSize() || value.WrongSize()) return WrongSize("it");
  record.segment = record.mark;
  return record;
}

}  // namespace

absl::StatusOr<StoreRecord> ParseStreamRecord(absl::string_view key, absl::string_view value) {
  POMPC_ASSIGN_OR_RETURN(const absl::string_view payload, Unseal(key, value));
  const char prefix = key.empty() ? '\0' : key.front();
  const Reader rest(key.substr(key.empty() ? 0 : 1)), content(payload);
  if (prefix == kSegmentPrefix) return ParseSegment(rest, content);
  if (prefix == kActorPrefix) return ParseActor(rest, content);
  if (prefix == kMarkPrefix) return ParseMark(rest, content);
  return absl::DataLossError("its key is of no known kind");
}

}  // namespace pompc::replay
