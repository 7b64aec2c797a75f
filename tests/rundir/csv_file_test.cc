#include "rundir/csv_file.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/rundir/file_size_limit.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::rundir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FormatNumberTest, IsTheShortestTextThatReadsBack) {
  EXPECT_EQ(FormatNumber(0.0), "0");
  EXPECT_EQ(FormatNumber(0.1f), "0.1");
  EXPECT_EQ(FormatNumber(0.1), "0.1");
  EXPECT_EQ(FormatNumber(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(FormatNumber(-2.5e-9), "-2.5e-09");
  EXPECT_EQ(FormatNumber(std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(FormatNumber(-std::numeric_limits<double>::quiet_NaN()), "nan");
  EXPECT_EQ(FormatNumber(std::numeric_limits<double>::infinity()), "inf");
}

class CsvFileTest : public testing::Test {
 protected:
  absl::Status AppendOne(const CsvFile::Row& row,
                         const std::function<bool(const CsvFile::Row&)>& keep = nullptr) {
    auto file = CsvFile::Open(folder_.File("t.csv"), {"update", "loss"}, keep);
    if (!file.ok()) return file.status();
    return (*file)->Append(row);
  }

  ScratchFolder folder_;
};

TEST_F(CsvFileTest, WritesOneHeaderOverSeveralStarts) {
  ASSERT_TRUE(AppendOne({"1", "0.5"}).ok());
  ASSERT_TRUE(AppendOne({"2", "0.25"}).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,0.5\n2,0.25\n");
}

TEST_F(CsvFileTest, DropsRowsOfUpdatesThatWereLost) {
  folder_.Write("t.csv", "update,loss\n1,5\n2,6\n3,7\n");
  ASSERT_TRUE(AppendOne({"2", "9"}, [](const CsvFile::Row& row) { return row[0] < "2"; }).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n2,9\n");
}

TEST_F(CsvFileTest, DropsARowThatWasCutOff) {
  folder_.Write("t.csv", "update,loss\n1,5\n2,");
  ASSERT_TRUE(AppendOne({"2", "9"}).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n2,9\n");
}

TEST_F(CsvFileTest, AFileOfOtherColumnsIsKeptAside) {
  folder_.Write("t.csv", "update,loss,extra\n1,5,6\n");
  ASSERT_TRUE(AppendOne({"2", "9"}).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n2,9\n");
  EXPECT_EQ(folder_.Read("t.csv.old"), "update,loss,extra\n1,5,6\n");
  // This file is of yet another version.
  folder_.Write("t.csv", "update\n3\n");
  ASSERT_TRUE(AppendOne({"4", "8"}).ok());
  EXPECT_EQ(folder_.Read("t.csv.old"), "update,loss,extra\n1,5,6\n");
  EXPECT_EQ(folder_.Read("t.csv.old-2"), "update\n3\n");
}

TEST_F(CsvFileTest, ARowOfAnotherWidthDies) {
  EXPECT_DEATH(AppendOne({"1"}).IgnoreError(), "row.size\\(\\) == columns_ \\(1 against 2\\)");
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n");
}

TEST_F(CsvFileTest, RowsWaitWhileTheDiskIsFull) {
  auto file = CsvFile::Open(folder_.File("t.csv"), {"update", "loss"});
  ASSERT_TRUE((*file)->Append({"1", "5"}).ok());
  {
    // Room for a part of the next row.
    const FileSizeLimit limit(folder_.Read("t.csv").size() + 3);
    EXPECT_FALSE((*file)->Append({"2", "6"}).ok());
    EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n");
    EXPECT_THAT(std::string((*file)->Append({"3", "7"}).message()),
                AllOf(HasSubstr("t.csv"), HasSubstr("2 rows wait")));
    EXPECT_FALSE((*file)->Flush().ok());
  }
  ASSERT_TRUE((*file)->Flush().ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n2,6\n3,7\n");
  ASSERT_TRUE((*file)->Append({"4", "8"}).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n2,6\n3,7\n4,8\n");
}

TEST_F(CsvFileTest, TheNewestRowsWaitAndNoMoreThanTheBound) {
  auto file = CsvFile::Open(folder_.File("t.csv"), {"update"});
  const size_t more = CsvFile::kMaxWaiting + 10;
  {
    const FileSizeLimit limit(folder_.Read("t.csv").size());
    for (size_t i = 1; i <= more; ++i) EXPECT_FALSE((*file)->Append({std::to_string(i)}).ok());
    EXPECT_THAT(std::string((*file)->Flush().message()),
                HasSubstr("4096 rows wait to be written; 10 older rows are lost"));
  }
  EXPECT_EQ((*file)->lost_rows(), 10u);
  ASSERT_TRUE((*file)->Flush().ok());
  const auto rows = ReadCsv(folder_.File("t.csv"), {"update"});
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), CsvFile::kMaxWaiting);
  EXPECT_EQ(rows->front()[0], "11");
  EXPECT_EQ(rows->back()[0], std::to_string(more));
}

TEST_F(CsvFileTest, CarriageReturnsOfAnEditorAreNoPartOfTheCells) {
  folder_.Write("t.csv", "update,loss\r\n1,5\r\n");
  EXPECT_THAT(*ReadCsv(folder_.File("t.csv"), {"update", "loss"}),
              ElementsAre(ElementsAre("1", "5")));
  ASSERT_TRUE(AppendOne({"2", "6"}).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n2,6\n");
}

TEST_F(CsvFileTest, AFolderThatIsNotThereIsNamed) {
  const auto file = CsvFile::Open("/no/such/folder/t.csv", {"a"});
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("/no/such/folder/t.csv"));
}

TEST_F(CsvFileTest, ReadsWhatWasWritten) {
  EXPECT_TRUE(ReadCsv(folder_.File("none.csv"), {"a"})->empty());
  folder_.Write("t.csv", "update,loss\n1,5\n2,6\n3");
  const auto rows = ReadCsv(folder_.File("t.csv"), {"update", "loss"});
  ASSERT_TRUE(rows.ok());
  EXPECT_THAT(*rows, ElementsAre(ElementsAre("1", "5"), ElementsAre("2", "6")));
}

// A table that somebody saved in a spreadsheet.
TEST_F(CsvFileTest, CarriageReturnsAndAByteOrderMarkDoNoHarm) {
  folder_.Write("t.csv", "\xef\xbb\xbfupdate,loss\r\n1,5\r\n2,6\r\n");
  const auto rows = ReadCsv(folder_.File("t.csv"), {"update", "loss"});
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_THAT(*rows, ElementsAre(ElementsAre("1", "5"), ElementsAre("2", "6")));
  auto file = CsvFile::Open(folder_.File("t.csv"), {"update", "loss"});
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->Append({"3", "7"}).ok());
  EXPECT_EQ(folder_.Read("t.csv"), "update,loss\n1,5\n2,6\n3,7\n");
}

TEST_F(CsvFileTest, ReadingNamesTheLineThatDoesNotFit) {
  folder_.Write("t.csv", "update,loss\n1,5\n2\n");
  const auto rows = ReadCsv(folder_.File("t.csv"), {"update", "loss"});
  EXPECT_EQ(rows.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(rows.status().message()), HasSubstr("t.csv:3"));
}

}  // namespace
}  // namespace pompc::rundir
