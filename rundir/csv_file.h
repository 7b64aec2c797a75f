#ifndef POMPC_RUNDIR_CSV_FILE_H_
#define POMPC_RUNDIR_CSV_FILE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::rundir {

// The shortest text that reads back as `value`, "nan" or "inf". It is the same on every machine.
std::string FormatNumber(double value);
std::string FormatNumber(float value);

// A table that grows by rows, in a file: one header line, then comma-separated numbers and words
// without quotes. Each row is handed to the system at once, so a reader sees whole rows but perhaps
// the last, and a crash loses none. Rows that cannot be written (the disk is full) wait in memory,
// kMaxWaiting of them, the newest, until there is room; older ones are lost, and counted. Not
// thread-safe.
class CsvFile {
 public:
  using Row = std::vector<std::string>;
  static constexpr size_t kMaxWaiting = 4096;

  // Opens `path` for appending and creates it with its header if need be. Rows of an earlier start
  // that `keep` (if given) refuses are dropped, as is a last row that was not finished; what
  // FinishedLines drops is dropped from the file. A file with another header, which another version
  // of this program wrote, is put aside first (PutAside). Errors name the path. REQUIRES: `columns`
  // is not empty.
  static absl::StatusOr<std::unique_ptr<CsvFile>> Open(
      const std::string& path, const std::vector<std::string>& columns,
      const std::function<bool(const Row&)>& keep = nullptr);
  ~CsvFile();
  CsvFile(const CsvFile&) = delete;
  CsvFile& operator=(const CsvFile&) = delete;

  // Writes the row, behind those that wait. After an error (RESOURCE_EXHAUSTED: the disk is full)
  // the file has whole rows, and the others wait for the next Append or Flush. REQUIRES: the row
  // has as many cells as the file has columns.
  absl::Status Append(const Row& row);
  // Writes the rows that wait; OK when there are none. Errors as Append.
  absl::Status Flush();
  // Counts the rows that will never be written, because too many waited.
  uint64_t lost_rows() const { return lost_rows_; }

 private:
  // "; 3 older rows are lost", if any are.
  std::string LostText() const;
  CsvFile(std::string path, size_t columns, int fd, int64_t bytes)
      : path_(std::move(path)), columns_(columns), fd_(fd), bytes_(bytes) {}

  const std::string path_;
  const size_t columns_;
  const int fd_;
  // Size of the file's whole rows.
  int64_t bytes_;
  // True while a part of a row stands behind them.
  bool torn_ = false;
  // Lines that could not be written yet.
  std::deque<std::string> waiting_;
  uint64_t lost_rows_ = 0;
};

// The lines of a table that ended with a line feed, without it; what follows the last one is left
// out, as somebody may be writing it. Takes tables that went through a spreadsheet: carriage
// returns before line feeds and a byte order mark at the beginning are dropped.
std::vector<std::string> FinishedLines(const std::string& content);

// Reads all finished rows of the table at `path`, without the header; none if there is no file.
// FAILED_PRECONDITION naming the line when the header or a row has another number of columns than
// `columns`.
absl::StatusOr<std::vector<CsvFile::Row>> ReadCsv(const std::string& path,
                                                  const std::vector<std::string>& columns);

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_CSV_FILE_H_
