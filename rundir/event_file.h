#ifndef POMPC_RUNDIR_EVENT_FILE_H_
#define POMPC_RUNDIR_EVENT_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/threads.h"
#include "proto/event_file.pb.h"

namespace pompc::rundir {

// CRC-32C (Castagnoli) of `data`. Debian 12 has no C++ library with it.
uint32_t Crc32c(absl::string_view data);

// A record of a TFRecord file: length, its masked CRC-32C, the data, its masked CRC-32C; numbers
// are little-endian.
std::string TfRecord(absl::string_view data);

// Numbers over updates in a file that TensorBoard reads. Each record is handed to the system at
// once. Thread-safe.
class EventFile {
 public:
  // Creates a new file in `folder`, and the folder if need be. From earlier files TensorBoard shows
  // the updates up to `restored_updates`; those after it are made again. Errors name the path.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(const std::string& folder,
                                                           uint64_t restored_updates);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // Writes the numbers after `updates`, each under the tag "<group>/<name>". After an error (the
  // disk is full) the numbers are lost, and the file has whole records. REQUIRES: `group` is not
  // empty.
  absl::Status Append(uint64_t updates, absl::string_view group,
                      const std::vector<std::pair<std::string, double>>& values);

 private:
  EventFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  absl::Status Write(proto::Event event, uint64_t step);

  const std::string path_;
  const int fd_;
  Mutex mu_;
  // Size of the file's whole records.
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // True while a part of a record stands behind them.
  bool torn_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_EVENT_FILE_H_
