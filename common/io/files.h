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

// The file operations that runs and caches need. Errors name the path and the system's reason.

// Reads a whole file. Fails with NOT_FOUND if there is no such file, and with INVALID_ARGUMENT if
// it is larger than `max_bytes`. It may be a pipe: then it fails with FAILED_PRECONDITION if nobody
// writes to it, and with DEADLINE_EXCEEDED if its writer lets half a minute pass.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     size_t max_bytes = std::numeric_limits<size_t>::max());

// Writes all of `content` at the descriptor's position. Errors call the file `path`.
absl::Status WriteAll(int fd, absl::string_view content, const std::string& path);

// Replaces the file atomically and durably: after a failure or a crash `path` holds either its old
// or its new content. Fails with RESOURCE_EXHAUSTED if the disk is full, and leaves no temporary
// file behind. INVALID_ARGUMENT if `path` is empty.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content);
// The same with the parts one after the other: large ones need not be joined in memory first.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> parts);

// Makes sure that what was written to the file, or what was created and renamed in the folder,
// survives a power loss.
absl::Status SyncPath(const std::string& path);

// The end of the name of a file that is still being written.
inline constexpr char kTemporarySuffix[] = ".tmp";

// Returns the names of everything in a folder, sorted.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder);

// Makes the folder and those above it, where they do not exist. Fails with FAILED_PRECONDITION
// naming the part of the path that is a file.
absl::Status MakeFolders(const std::string& path);
// Makes a folder that did not exist before: `path`, or else `path`-2, `path`-3 and so on. Returns
// its path. No two processes get the same one.
absl::StatusOr<std::string> MakeNewFolder(const std::string& path);
absl::Status Rename(const std::string& from, const std::string& to);
// Renames what is at `path` to `path`.old or, if that exists, to `path`.old-2, `path`.old-3 and so
// on: what was put aside before stays. Returns the new path. Fails with ALREADY_EXISTS when a
// thousand names are in use.
absl::StatusOr<std::string> PutAside(const std::string& path);
// Removes a file, or a folder with everything in it. Returns OK if it does not exist.
absl::Status RemoveAll(const std::string& path);

// Size and CRC-32 (zlib) of a file's content.
struct Checksum {
  uint64_t bytes = 0;
  uint32_t crc32 = 0;

  bool operator==(const Checksum&) const = default;
};
absl::StatusOr<Checksum> ChecksumFile(const std::string& path);

// An exclusive lock on a file. It is held until the object is destroyed or the process ends,
// however that happens.
class FileLock {
 public:
  // Creates the file if necessary and writes this process's id into it. Fails with ABORTED, naming
  // the holder's id, if another process or another FileLock of this process holds the lock; no
  // other failure has that code.
  static absl::StatusOr<FileLock> Take(const std::string& path);

 private:
  explicit FileLock(Descriptor file) : file_(std::move(file)) {}

  Descriptor file_;
};

}  // namespace pompc

#endif  // POMPC_COMMON_IO_FILES_H_
