#include "replay/store/records.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/values/crc32c.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/random.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};

ChunkRecord ChunkOf(const RowView& rows, uint32_t begin = 0) {
  return {.segment = {.actor_index = 3,
                      .incarnation = 17,
                      .environment = 5,
                      .episode = 1'000'000'000'007,
                      .segment = 2},
          .spec = kSpec,
          .first_row = 40,
          .rows = rows,
          .begin = begin,
          .address = 1234,
          .previous = 1200,
          .oldest = 1000,
          .accepted_rows = 1300,
          .planned_rows = 900};
}

std::string ValueOf(const ChunkRecord& chunk) {
  std::string header;
  return absl::StrJoin(ChunkValue(chunk, &header), "");
}

// The value with a right checksum, whatever is in it.
std::string WithChecksum(std::string value) {
  const uint32_t crc = Crc32c(absl::string_view(value).substr(4));
  value.replace(0, 4, reinterpret_cast<const char*>(&crc), 4);
  return value;
}

TEST(RecordsTest, AddressKeysAreOrderedAsTheirAddresses) {
  const std::vector<uint64_t> addresses = {0, 1, 255, 256, 65535, 1ull << 32, ~0ull};
  for (size_t i = 0; i < addresses.size(); ++i) {
    EXPECT_EQ(ParseAddressKey(AddressKey(addresses[i])).value_or(7), addresses[i]);
    if (i == 0) continue;
    EXPECT_LT(AddressKey(addresses[i - 1]), AddressKey(addresses[i]));
  }
  EXPECT_EQ(ParseAddressKey("short").status().code(), absl::StatusCode::kDataLoss);
}

TEST(RecordsTest, AChunkComesBackAsItWas) {
  RowBuilder rows(kSpec);
  rows.AddMany(70, 4).Add(74, /*has_plan=*/false).Terminal().Final(75);
  const std::string value = ValueOf(ChunkOf(rows.View(), /*begin=*/2));
  const absl::StatusOr<ParsedChunk> parsed = ParseChunk(value);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const ChunkRecord& chunk = parsed->chunk;
  EXPECT_EQ(chunk.segment, ChunkOf(rows.View()).segment);
  EXPECT_EQ(chunk.spec, kSpec);
  EXPECT_EQ(chunk.first_row, 42u);
  EXPECT_EQ(chunk.begin, 0u);
  EXPECT_EQ(chunk.address, 1234u);
  EXPECT_EQ(chunk.previous, 1200u);
  EXPECT_EQ(chunk.oldest, 1000u);
  EXPECT_EQ(chunk.accepted_rows, 1300u);
  EXPECT_EQ(chunk.planned_rows, 900u);
  EXPECT_EQ(chunk.slots(), 4u);
  RowBuilder want(kSpec);
  want.AddMany(72, 2).Add(74, /*has_plan=*/false).Terminal().Final(75);
  const RowView view = want.View();
  for (size_t c = 0; c < kRowColumns; ++c) {
    EXPECT_THAT(chunk.rows.columns[c], ElementsAreArray(view.columns[c])) << kColumns[c].name;
  }
  EXPECT_THAT(chunk.rows.final_observation, ElementsAreArray(view.final_observation));
}

TEST(RecordsTest, AChunkOfAFinalObservationAloneComesBack) {
  RowBuilder rows(kSpec);
  rows.Final(9);
  const absl::StatusOr<ParsedChunk> parsed = ParseChunk(ValueOf(ChunkOf(rows.View())));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->chunk.rows.count, 0u);
  EXPECT_EQ(parsed->chunk.slots(), 1u);
  EXPECT_EQ(parsed->chunk.rows.final_observation[1], RowBuilder::Observation(9, 1));
}

TEST(RecordsTest, EachFlippedBitAndEachTruncationOfAChunkIsDamage) {
  RowBuilder rows(kSpec);
  const std::string value = ValueOf(ChunkOf(rows.AddMany(7, 2).Final(9).View()));
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string flipped = value;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(ParseChunk(flipped).status().code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
  for (size_t size = 0; size < value.size(); ++size) {
    EXPECT_EQ(ParseChunk(value.substr(0, size)).status().code(), absl::StatusCode::kDataLoss)
        << size;
  }
  EXPECT_EQ(ParseChunk(value + "x").status().code(), absl::StatusCode::kDataLoss);
}

TEST(RecordsTest, AChunkWithARightChecksumAndWrongSizesIsDamage) {
  RowBuilder rows(kSpec);
  const std::string value = ValueOf(ChunkOf(rows.AddMany(7, 2).View()));
  // The form, the schema, the sizes, the count of rows, the flag of the final observation.
  for (const size_t field : {4, 8, 12, 16, 20, 24}) {
    for (const uint32_t number : {0u, 1u, 77u, 1u << 20, 1u << 31, ~0u}) {
      std::string changed = value;
      changed.replace(field, 4, reinterpret_cast<const char*>(&number), 4);
      if (changed == value) continue;
      const absl::Status status = ParseChunk(WithChecksum(changed)).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << field << " " << number << status;
    }
  }
}

TEST(RecordsTest, RandomBytesAreDamage) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random.Below(300), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.Below(256));
    if (bytes.size() >= 4) bytes = WithChecksum(bytes);
    EXPECT_EQ(ParseChunk(bytes).status().code(), absl::StatusCode::kDataLoss);
    (void)ParseStreamRecord(bytes.substr(0, bytes.size() / 2), bytes);
  }
}

TEST(RecordsTest, PlansTextsNumbersAndGrantsComeBack) {
  const std::vector<float> mean = {0.5f, -0.25f}, std = {1.0f, 2.0f};
  const absl::StatusOr<ParsedPlan> plan = ParsePlan("k", PlanValue("k", mean, std));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->mean, mean);
  EXPECT_EQ(plan->std, std);
  EXPECT_EQ(ParseText("k", TextValue("k", "any text")).value_or(""), "any text");
  EXPECT_EQ(ParseNumber("k", NumberValue("k", 1ull << 40)).value_or(0), 1ull << 40);
  for (const GrantRecord& grant :
       {GrantRecord{}, GrantRecord{true, ParameterVersion{3, 9}}, GrantRecord{false, {}}}) {
    const absl::StatusOr<GrantRecord> back = ParseGrant("k", GrantValue("k", grant));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->seed_phase_over, grant.seed_phase_over);
    EXPECT_EQ(back->newest_version, grant.newest_version);
  }
}

TEST(RecordsTest, AValueUnderAnotherKeyIsDamage) {
  EXPECT_EQ(ParseNumber("b", NumberValue("a", 1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ParseText("b", TextValue("a", "t")).status().code(), absl::StatusCode::kDataLoss);
}

TEST(RecordsTest, WhatIsKnownOfWritersComesBack) {
  const SegmentRecord segment = {.id = {3, 17, 5, 12, 2},
                                 .next_row = 40,
                                 .ended = true,
                                 .terminated = true,
                                 .refused = absl::InvalidArgumentError("row 40: action is nan"),
                                 .tail = 99,
                                 .changed_at = 100};
  std::string key = SegmentKey(segment.id);
  absl::StatusOr<StoreRecord> record = ParseStreamRecord(key, SegmentValue(key, segment));
  ASSERT_TRUE(record.ok()) << record.status();
  const SegmentRecord& back = std::get<SegmentRecord>(*record);
  EXPECT_EQ(back.id, segment.id);
  EXPECT_EQ(back.next_row, 40u);
  EXPECT_TRUE(back.ended && back.terminated);
  EXPECT_EQ(back.refused, segment.refused);
  EXPECT_EQ(back.tail, 99u);
  EXPECT_EQ(back.changed_at, 100u);

  key = ActorKey(3);
  record = ParseStreamRecord(key, NumberValue(key, 17));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(std::get<ActorRecord>(*record).actor_index, 3u);
  EXPECT_EQ(std::get<ActorRecord>(*record).incarnation, 17u);

  key = MarkKey(3, 5);
  record = ParseStreamRecord(key, MarkValue(key, segment.id));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(std::get<ForgottenRecord>(*record).mark, segment.id);

  EXPECT_THAT(ParseStreamRecord("x", TextValue("x", "")).status().message(),
              HasSubstr("no known kind"));
}

TEST(RecordsTest, SegmentsOfOneActorAreTogetherAndOrderedByIncarnation) {
  const std::string fence = SegmentsKey(3, 18);
  EXPECT_LT(SegmentsKey(3, 0), SegmentKey({3, 17, 9, 9, 9}));
  EXPECT_LT(SegmentKey({3, 17, ~0u, ~0ull, ~0u}), fence);
  EXPECT_LT(fence, SegmentKey({3, 18, 0, 0, 0}));
  EXPECT_LT(SegmentKey({3, 18, 0, 0, 0}), SegmentsKey(4, 0));
}

}  // namespace
}  // namespace pompc::replay
