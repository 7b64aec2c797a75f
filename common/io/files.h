#ifndef POMPC_COMMON_IO_FILES_H_
#define POMPC_COMMON_IO_FILES_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/io/descriptors.h"

namespace pompc {

// The few file operations that runs and caches need. Errors name the path and the system's reason.

// Whole content. NOT_FOUND when there is no such file, INVALID_ARGUMENT when it is larger than
// `max_bytes`. Pipes are read as well; FAILED_PRECONDITION when nobody writes to one,
// DEADLINE_EXCEEDED when its writer keeps it waiting for half a minute.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     size_t max_bytes = std::numeric_limits<size_t>::max());

// Writes all of `content` at the descriptor's position; `path` is for the message.
absl::Status WriteAll(int fd, absl::string_view content, const std::string& path);

// Replaces the file atomically and durably: after a failure or a crash `path` holds either its old
// content or the new. RESOURCE_EXHAUSTED when the disk is full; then nothing is left beside `path`.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content);
// The same with the parts one after the other: large ones need not be joined in memory first.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> parts);

// Makes what was written to the file, or what was created and renamed in the folder, survive a
// power loss.
absl::Status SyncPath(const std::string& path);

// Ends the name of a file that is being written and not yet in its place.
inline constexpr char kTemporarySuffix[] = ".tmp";

// Names of what lies in a folder, in order.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder);

// The folder and those above it, where they do not exist. FAILED_PRECONDITION naming the part of
// the path that is a file.
absl::Status MakeFolders(const std::string& path);
// Makes a folder that was not there before: `path`, or else `path`-2, `path`-3 and so on. Returns
// its path. No two processes get the same one.
absl::StatusOr<std::string> MakeNewFolder(const std::string& path);
absl::Status Rename(const std::string& from, const std::string& to);
// Renames what is at `path` to `path`.old, or where something has that name to `path`.old-2,
// `path`.old-3 and so on: what was put aside before stays. Returns the new path. ALREADY_EXISTS
// when a thousand names are taken.
absl::StatusOr<std::string> PutAside(const std::string& path);
// With all that is in it; OK when there is nothing.
absl::Status RemoveAll(const std::string& path);

// Size and CRC-32 (zlib) of a file's content.
struct Checksum {
  uint64_t bytes = 0;
  uint32_t crc32 = 0;

  bool operator==(const Checksum&) const = default;
};
absl::StatusOr<Checksum> ChecksumFile(const std::string& path);

// An exclusive lock on a file, held until destruction or the end of the process, however it ends.
class FileLock {
 public:
  // Creates the file if need be and writes this process's id into it. ABORTED naming the holder's
  // id when another process, or another FileLock of this one, holds it: that error alone means a
  // lock that is held.
  static absl::StatusOr<FileLock> Take(const std::string& path);

 private:
  explicit FileLock(Descriptor file) : file_(std::move(file)) {}

  Descriptor file_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_FILES_H_
