#include "rundir/csv_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/process/log.h"
#include "common/values/utf8.h"

namespace pompc::rundir {
namespace {

template <typename T>
std::string Shortest(T value) {
  if (std::isnan(value)) return "nan";
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  POMPC_CHECK(result.ec == std::errc());
  return std::string(buffer, result.ptr);
}

absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path);
  if (absl::IsNotFound(content.status())) return std::string();
  return content;
}

// Returns what is kept of an earlier start's file, with the header. Updates that are made again
// after a resume would otherwise stand there twice.
std::string Kept(const std::vector<std::string>& lines, const std::string& header,
                 const std::function<bool(const CsvFile::Row&)>& keep) {
  std::string kept = header + "\n";
  for (size_t i = 1; i < lines.size(); ++i) {
    if (keep != nullptr && !keep(absl::StrSplit(lines[i], ','))) continue;
    absl::StrAppend(&kept, lines[i], "\n");
  }
  return kept;
}

}  // namespace

std::string FormatNumber(double value) { return Shortest(value); }
std::string FormatNumber(float value) { return Shortest(value); }

std::vector<std::string> FinishedLines(const std::string& content) {
  const absl::string_view text = absl::StripPrefix(content, kByteOrderMark);
  std::vector<std::string> lines;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    lines.emplace_back(absl::StripSuffix(line, "\r"));
  }
  // What follows the last newline is empty, or half a row of a writer that was killed.
  lines.pop_back();
  return lines;
}

absl::StatusOr<std::unique_ptr<CsvFile>> CsvFile::Open(
    const std::string& path, const std::vector<std::string>& columns,
    const std::function<bool(const Row&)>& keep) {
  POMPC_CHECK(!columns.empty());
  const std::string header = absl::StrJoin(columns, ",");
  POMPC_ASSIGN_OR_RETURN(const std::string before, ReadIfThere(path));
  std::vector<std::string> lines = FinishedLines(before);
  // Rows of another version's columns cannot follow one another in one table, and a file that holds
  // measurements is never overwritten.
  if (!lines.empty() && lines[0] != header) {
    POMPC_ASSIGN_OR_RETURN(const std::string aside, PutAside(path));
    Log().warn("{} has other columns than this version writes; it was renamed to {}", path, aside);
    lines.clear();
  }
  const std::string after = Kept(lines, header, keep);
  // A start that changes nothing leaves the file alone, so that programs that follow it need not
  // read it again.
  if (after != before) POMPC_RETURN_IF_ERROR(WriteFileAtomically(path, after));
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  return std::unique_ptr<CsvFile>(
      new CsvFile(path, columns.size(), fd, static_cast<int64_t>(after.size())));
}

CsvFile::~CsvFile() { ::close(fd_); }

absl::Status CsvFile::Append(const Row& row) {
  POMPC_CHECK_EQ(row.size(), columns_);
  // The newest rows are worth most: a run on a full disk continues, and its log shows where it is.
  if (waiting_.size() >= kMaxWaiting) {
    waiting_.pop_front();
    ++lost_rows_;
  }
  waiting_.push_back(absl::StrJoin(row, ",") + "\n");
  POMPC_CHECK_LE(waiting_.size(), kMaxWaiting);
  return Flush();
}

std::string CsvFile::LostText() const {
  if (lost_rows_ == 0) return "";
  return absl::StrCat("; ", lost_rows_, " older rows are lost");
}

absl::Status CsvFile::Flush() {
  const size_t waited = waiting_.size();
  while (!waiting_.empty()) {
    // What an earlier attempt wrote of a row must go before another row follows it: a reader would
    // take both for one. Where that fails, the row stays torn and the next call tries again.
    if (torn_ && ::ftruncate(fd_, bytes_) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("truncating ", path_));
    }
    torn_ = true;
    if (const absl::Status status = WriteAll(fd_, waiting_.front(), path_); !status.ok()) {
      torn_ = ::ftruncate(fd_, bytes_) != 0;
      return absl::Status(status.code(), absl::StrCat(status.message(), "; ", waiting_.size(),
                                                      " rows wait to be written", LostText()));
    }
    torn_ = false;
    bytes_ += static_cast<int64_t>(waiting_.front().size());
    waiting_.pop_front();
  }
  POMPC_CHECK(!torn_);
  if (waited > 1) Log().info("{}: {} rows that waited are written{}", path_, waited, LostText());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CsvFile::Row>> ReadCsv(const std::string& path,
                                                  const std::vector<std::string>& columns) {
  POMPC_ASSIGN_OR_RETURN(const std::string content, ReadIfThere(path));
  const std::vector<std::string> lines = FinishedLines(content);
  std::vector<CsvFile::Row> rows;
  for (size_t i = 0; i < lines.size(); ++i) {
    CsvFile::Row row = absl::StrSplit(lines[i], ',');
    if (row.size() != columns.size() || (i == 0 && row != columns)) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ":", i + 1, ": expected the columns ", absl::StrJoin(columns, ",")));
    }
    if (i > 0) rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace pompc::rundir
