#include "replay/dataset/data_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/io/files.h"
#include "common/io/tensor_header.h"
#include "replay/dataset/data_set_writer.h"
#include "tests/replay/row_builder.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr RowSpec kSpec = {.observation_size = 3, .action_size = 2};

// A safetensors file that a test puts together tensor by tensor, as another program would.
class TensorFileBuilder {
 public:
  template <typename T>
  TensorFileBuilder& Add(const std::string& name, const std::string& dtype,
                         std::vector<int64_t> shape, const std::vector<T>& numbers) {
    Remove(name);
    std::string bytes(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T));
    tensors_.push_back({name, dtype, std::move(shape), std::move(bytes)});
    return *this;
  }
  TensorFileBuilder& Remove(const std::string& name) {
    std::erase_if(tensors_, [&](const Tensor& tensor) { return tensor.name == name; });
    return *this;
  }

  std::string Content(const TensorMetadata& metadata = {}) const {
    std::vector<TensorEntry> table;
    std::string data;
    for (const Tensor& tensor : tensors_) {
      table.push_back({tensor.name, tensor.dtype, tensor.shape, data.size(), tensor.bytes.size()});
      data += tensor.bytes;
    }
    return MakeTensorHeader(table, metadata) + data;
  }

 private:
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::vector<Tensor> tensors_;
};

std::vector<float> Floats(size_t count) {
  std::vector<float> numbers;
  for (size_t i = 0; i < count; ++i) numbers.push_back(static_cast<float>(i) / 64);
  return numbers;
}

// Two episodes of three and two rows, as little as a data set may have.
TensorFileBuilder Demonstrations() {
  TensorFileBuilder file;
  file.Add("observations", "F32", {5, 3}, Floats(15))
      .Add("actions", "F32", {5, 2}, Floats(10))
      .Add("rewards", "F32", {5}, Floats(5))
      .Add<uint8_t>("terminated", "BOOL", {5}, {0, 0, 1, 0, 0})
      .Add<int64_t>("episode_starts", "I64", {2}, {0, 3});
  return file;
}

class DataSetTest : public ::testing::Test {
 protected:
  std::string Path() const { return folder_.File("rows.safetensors"); }
  absl::StatusOr<std::unique_ptr<const DataSet>> Open(const std::string& content) const {
    EXPECT_TRUE(WriteFileAtomically(Path(), content).ok());
    return DataSet::Open(Path());
  }
  absl::Status Refusal(const TensorFileBuilder& file) const {
    const auto data = Open(file.Content());
    return data.ok() ? (*data)->Check(RowLimits()).status() : data.status();
  }
  void ExpectRefused(const TensorFileBuilder& file, const std::vector<std::string>& texts) const {
    const absl::Status status = Refusal(file);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr(Path()));
    for (const std::string& text : texts) EXPECT_THAT(status.message(), HasSubstr(text));
  }

  ScratchFolder folder_;
};

std::vector<std::byte> Copy(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

TEST_F(DataSetTest, RowsWithoutPlansAreReadWithFillers) {
  const auto data = Open(Demonstrations().Content());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->rows(), 5u);
  EXPECT_EQ((*data)->episodes(), 2u);
  EXPECT_EQ((*data)->EpisodeRows(0), 3u);
  EXPECT_EQ((*data)->EpisodeRows(1), 2u);
  EXPECT_EQ((*data)->spec(), kSpec);
  EXPECT_FALSE((*data)->has_plans());
  RowBuffer buffer;
  const absl::StatusOr<RowView> rows = (*data)->Read(1, 0, 2, &buffer);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_TRUE(CheckSizes(kSpec, *rows).ok());
  EXPECT_THAT(rows->Get<float>("rewards"), ElementsAre(3.0f / 64, 4.0f / 64));
  EXPECT_EQ(rows->Get<float>("observations")[0], 9.0f / 64);
  EXPECT_THAT(rows->Get<uint8_t>("has_plan"), ElementsAre(0, 0));
  EXPECT_THAT(rows->Get<float>("plan_std"), ElementsAre(1, 1, 1, 1));
  EXPECT_TRUE(rows->final_observation.empty());
  EXPECT_TRUE((*data)->Check(RowLimits()).ok());
}

TEST_F(DataSetTest, FinalObservationsComeWithTheLastRow) {
  TensorFileBuilder file = Demonstrations();
  file.Add("final_observations", "F32", {2, 3}, Floats(6));
  auto data = Open(file.Content());
  ASSERT_TRUE(data.ok()) << data.status();
  RowBuffer buffer;
  EXPECT_TRUE((*data)->Read(1, 0, 1, &buffer)->final_observation.empty());
  EXPECT_THAT((*data)->Read(1, 1, 1, &buffer)->final_observation,
              ElementsAre(3.0f / 64, 4.0f / 64, 5.0f / 64));
  file.Add<uint8_t>("has_final_observation", "U8", {2}, {1, 0});
  data = Open(file.Content());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_TRUE((*data)->Read(1, 1, 1, &buffer)->final_observation.empty());
  EXPECT_EQ((*data)->Read(0, 2, 1, &buffer)->final_observation.size(), 3u);
}

TEST_F(DataSetTest, PlansOfSomeRows) {
  TensorFileBuilder file = Demonstrations();
  // What stands in the plan of a row without one means nothing.
  file.Add("plan_mean", "F32", {5, 2}, Floats(10))
      .Add("plan_std", "F32", {5, 2}, std::vector<float>{0, 0, 1, 1, 2, 2, 3, 3, 4, 4})
      .Add<uint8_t>("has_plan", "U8", {5}, {0, 1, 1, 1, 1});
  auto data = Open(file.Content());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_TRUE((*data)->has_plans());
  RowBuffer buffer;
  const absl::StatusOr<RowView> rows = (*data)->Read(0, 0, 3, &buffer);
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT(rows->Get<uint8_t>("has_plan"), ElementsAre(0, 1, 1));
  EXPECT_THAT(rows->Get<float>("plan_std"), ElementsAre(1, 1, 1, 1, 2, 2));
  EXPECT_TRUE((*data)->Check(RowLimits()).ok());
  file.Remove("has_plan");
  data = Open(file.Content());
  ASSERT_TRUE(data.ok());
  EXPECT_THAT((*data)->Read(0, 0, 3, &buffer)->Get<uint8_t>("has_plan"), ElementsAre(1, 1, 1));
}

TEST_F(DataSetTest, MissingAndUnknownTensorsAreNamedAtOnce) {
  TensorFileBuilder file = Demonstrations();
  file.Remove("rewards").Add("reward", "F32", {5}, Floats(5)).Remove("episode_starts");
  ExpectRefused(file, {"missing \"rewards\", \"episode_starts\"", "unknown \"reward\""});
}

TEST_F(DataSetTest, TypesAndShapesAreChecked) {
  const std::vector<double> doubles(15);
  ExpectRefused(Demonstrations().Add("observations", "F64", {5, 3}, doubles),
                {"\"observations\"", "F64", "must be F32", ".astype(numpy.float32)"});
  ExpectRefused(Demonstrations().Add("rewards", "F32", {4}, Floats(4)),
                {"\"rewards\"", "[4]", "must be [5]"});
  ExpectRefused(Demonstrations().Add("rewards", "F32", {5, 1}, Floats(5)),
                {"\"rewards\"", "[5, 1]", "must be [5]"});
  ExpectRefused(Demonstrations().Add("actions", "F32", {10}, Floats(10)),
                {"\"actions\"", "[10]", "must be [rows, numbers]"});
  ExpectRefused(Demonstrations().Add("final_observations", "F32", {5, 3}, Floats(15)),
                {"\"final_observations\"", "must be [2, 3]"});
  ExpectRefused(Demonstrations().Add("plan_mean", "F32", {5, 2}, Floats(10)), {"\"plan_std\""});
  ExpectRefused(Demonstrations().Add<uint8_t>("has_final_observation", "U8", {2}, {1, 1}),
                {"\"final_observations\""});
}

TEST_F(DataSetTest, EpisodesMustBeginInOrder) {
  const auto starts = [](std::vector<int64_t> numbers) {
    return Demonstrations().Add("episode_starts", "I64", {static_cast<int64_t>(numbers.size())},
                                numbers);
  };
  ExpectRefused(starts({1, 3}), {"\"episode_starts\"", "number 0 is 1", "must be 0"});
  ExpectRefused(starts({0, 0}), {"number 1 is 0", "above 0 and below 5"});
  ExpectRefused(starts({0, -1}), {"number 1 is -1"});
  ExpectRefused(starts({0, 5}), {"number 1 is 5", "below 5"});
  ExpectRefused(starts({}), {"the number of episodes"});
  ExpectRefused(starts({0, 1, 2, 3, 4, 5}), {"[6]", "must be [1 to 5]"});
  EXPECT_TRUE(Refusal(Demonstrations().Add<uint32_t>("episode_starts", "U32", {2}, {0, 3})).ok());
}

TEST_F(DataSetTest, NumbersAreCheckedWithTheirRows) {
  std::vector<float> actions = Floats(10);
  actions[7] = 1.5f;
  ExpectRefused(Demonstrations().Add("actions", "F32", {5, 2}, actions),
                {"episode 1", "row 3", "action number 1 is 1.5", "[-1, 1]"});
  std::vector<float> rewards = Floats(5);
  rewards[4] = std::numeric_limits<float>::quiet_NaN();
  ExpectRefused(Demonstrations().Add("rewards", "F32", {5}, rewards),
                {"row 4", "reward number 0 is nan", "finite"});
  ExpectRefused(Demonstrations().Add<uint8_t>("terminated", "U8", {5}, {0, 0, 1, 0, 2}),
                {"row 4", "terminated is 2"});
  ExpectRefused(Demonstrations().Add<uint8_t>("terminated", "U8", {5}, {0, 1, 0, 0, 0}),
                {"row 1", "terminated", "rows follow"});
  std::vector<float> finals = Floats(6);
  finals[5] = std::numeric_limits<float>::infinity();
  ExpectRefused(Demonstrations().Add("final_observations", "F32", {2, 3}, finals),
                {"episode 1", "final_observation number 2 is inf"});
}

TEST_F(DataSetTest, RowsOfALongEpisodeAreCheckedAcrossPieces) {
  constexpr int64_t kRows = 3000;
  std::vector<uint8_t> terminated(kRows);
  TensorFileBuilder file;
  file.Add("observations", "F32", {kRows, 3}, std::vector<float>(3 * kRows))
      .Add("actions", "F32", {kRows, 2}, std::vector<float>(2 * kRows))
      .Add("rewards", "F32", {kRows}, std::vector<float>(kRows))
      .Add("terminated", "U8", {kRows}, terminated)
      .Add<int64_t>("episode_starts", "I64", {1}, {0});
  EXPECT_TRUE(Refusal(file).ok());
  // The last row of the first piece.
  terminated[1023] = 1;
  ExpectRefused(file.Add("terminated", "U8", {kRows}, terminated), {"row 1023", "rows follow"});
  terminated[1023] = 0;
  terminated[2999] = 1;
  EXPECT_TRUE(Refusal(file.Add("terminated", "U8", {kRows}, terminated)).ok());
}

TEST_F(DataSetTest, FilesOfOtherKindsAreRefused) {
  EXPECT_TRUE(absl::IsNotFound(DataSet::Open(folder_.File("none")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DataSet::Open(folder_.path()).status()));
  EXPECT_TRUE(absl::IsDataLoss(Open("").status()));
  EXPECT_TRUE(absl::IsDataLoss(Open("PK\x03\x04 some archive of NumPy").status()));
  const std::string content = Demonstrations().Content();
  for (size_t size = 0; size < content.size(); size += 31) {
    EXPECT_TRUE(absl::IsDataLoss(Open(content.substr(0, size)).status())) << size;
  }
  const auto other = Open(Demonstrations().Content({{"format", "another 2"}}));
  EXPECT_TRUE(absl::IsInvalidArgument(other.status()));
  EXPECT_THAT(other.status().message(), HasSubstr("another 2"));
}

TEST_F(DataSetTest, AFileThatShrinksIsReported) {
  const auto data = Open(Demonstrations().Content());
  ASSERT_TRUE(data.ok());
  std::filesystem::resize_file(Path(), 10);
  EXPECT_TRUE(absl::IsDataLoss((*data)->Check(RowLimits()).status()));
}

TEST_F(DataSetTest, TheIdentityIsThatOfTheRows) {
  const auto identity = [this](const TensorFileBuilder& file) {
    const auto data = Open(file.Content());
    EXPECT_TRUE(data.ok()) << data.status();
    return *(*data)->Check(RowLimits());
  };
  const uint32_t first = identity(Demonstrations());
  // Another order of the tensors, and flags of another type.
  EXPECT_EQ(first,
            identity(Demonstrations().Add<uint8_t>("terminated", "U8", {5}, {0, 0, 1, 0, 0})));
  std::vector<float> rewards = Floats(5);
  rewards[2] += 1;
  EXPECT_NE(first, identity(Demonstrations().Add("rewards", "F32", {5}, rewards)));
  EXPECT_NE(first, identity(Demonstrations()
                                .Add<int64_t>("episode_starts", "I64", {1}, {0})
                                .Add<uint8_t>("terminated", "U8", {5}, {0, 0, 0, 0, 0})));
}

SegmentId Segment(uint32_t actor, uint64_t episode) {
  return {.actor_index = actor, .incarnation = 4, .environment = 1, .episode = episode};
}

std::vector<uint64_t> AddressesFrom(uint64_t first, uint32_t count) {
  std::vector<uint64_t> addresses;
  for (uint32_t i = 0; i < count; ++i) addresses.push_back(first + i);
  return addresses;
}

TEST_F(DataSetTest, WhatIsWrittenInPiecesIsReadByEpisodes) {
  auto writer = DataSetWriter::Create(Path(), kSpec, {{"task", "pendulum-swingup"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  const auto append = [&](const SegmentId& segment, uint64_t first_row, uint64_t address,
                          const RowBuilder& rows) {
    const absl::Status status = (*writer)->Append(
        {0, segment}, first_row, AddressesFrom(address, rows.View().count), rows.View());
    EXPECT_TRUE(status.ok()) << status;
  };
  // Chunks of two actors take turns; one segment has lost its beginning, and a piece in its middle.
  append(Segment(1, 0), 0, 0, RowBuilder(kSpec).AddMany(100, 3));
  append(Segment(0, 7), 40, 3, RowBuilder(kSpec).AddMany(200, 2, false));
  append(Segment(1, 0), 3, 5, RowBuilder(kSpec).AddMany(103, 2).Terminal().Final(900));
  append(Segment(0, 7), 42, 8, RowBuilder(kSpec).AddMany(202, 1, false));
  append(Segment(0, 7), 50, 11, RowBuilder(kSpec).AddMany(210, 2).Final(901));
  ASSERT_TRUE((*writer)->Finish().ok());
  EXPECT_EQ((*writer)->rows(), 10u);
  EXPECT_EQ((*writer)->episodes(), 3u);
  EXPECT_THAT(*NamesIn(folder_.path()), ElementsAre("rows.safetensors"));

  const auto data = DataSet::Open(Path());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ((*data)->metadata().at("task"), "pendulum-swingup");
  ASSERT_EQ((*data)->episodes(), 3u);
  const std::vector<std::pair<RowBuilder, uint64_t>> expected = {
      {RowBuilder(kSpec).AddMany(200, 3, false), 0},
      {RowBuilder(kSpec).AddMany(210, 2).Final(901), 901},
      {RowBuilder(kSpec).AddMany(100, 5).Terminal().Final(900), 900}};
  for (uint64_t episode = 0; episode < 3; ++episode) {
    const RowView want = expected[episode].first.View();
    ASSERT_EQ((*data)->EpisodeRows(episode), want.count);
    RowBuffer buffer;
    const absl::StatusOr<RowView> have = (*data)->Read(episode, 0, want.count, &buffer);
    ASSERT_TRUE(have.ok());
    for (size_t c = 0; c < kRowColumns; ++c) {
      if (kColumns[c].element == Element::kVersion) continue;  // another run's mean nothing
      EXPECT_EQ(Copy(have->columns[c]), Copy(want.columns[c])) << kColumns[c].name << episode;
    }
    EXPECT_EQ(Copy(std::as_bytes(have->final_observation)),
              Copy(std::as_bytes(want.final_observation)));
  }
}

TEST_F(DataSetTest, AWriterWithoutRowsMakesNoFile) {
  auto writer = DataSetWriter::Create(Path(), kSpec, {});
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE(absl::IsFailedPrecondition((*writer)->Finish()));
  writer->reset();
  EXPECT_TRUE(NamesIn(folder_.path())->empty());
  EXPECT_TRUE(absl::IsInvalidArgument(DataSetWriter::Create("", kSpec, {}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(DataSetWriter::Create("/dev/null", kSpec, {}).status()));
  EXPECT_FALSE(DataSetWriter::Create(folder_.File("none/rows"), kSpec, {}).ok());
}

}  // namespace
}  // namespace pompc::replay
