#include "common/io/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc {
namespace {

namespace fs = std::filesystem;

absl::Status SystemError(int code, absl::string_view doing, absl::string_view path) {
  return absl::ErrnoToStatus(code, absl::StrCat(doing, " ", path));
}

absl::Status FilesystemError(const std::error_code& error, absl::string_view doing,
                             absl::string_view path) {
  if (!error) return absl::OkStatus();
  return SystemError(error.value(), doing, path);
}

// Returns an invalid descriptor, with errno set, if the file cannot be opened.
Descriptor Open(const std::string& path, int flags) {
  return Descriptor(::open(path.c_str(), flags, 0644));
}

// The time for which the writer of a pipe may let its reader wait.
constexpr int kPipePatienceMs = 30'000;

// Waits until a pipe has something to read or was closed by its writer.
absl::Status AwaitInput(int fd, const std::string& path) {
  pollfd input = {fd, POLLIN, 0};
  const int ready = ::poll(&input, 1, kPipePatienceMs);
  if (ready < 0 && errno != EINTR) return SystemError(errno, "waiting for", path);
  if (ready != 0) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(
      "reading ", path, ": nothing was written to it for ", kPipePatienceMs / 1000, " s"));
}

// Calls `take` with one piece of the file after the other, until the end or an error.
template <typename Take>
absl::Status ReadPieces(const std::string& path, Take take) {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would block for ever. It has no effect
  // on regular files.
  const Descriptor file = Open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (!file.valid()) return SystemError(errno, "opening", path);
  std::vector<char> buffer(1 << 20);
  bool empty = true;
  while (true) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got > 0) {
      empty = false;
      POMPC_RETURN_IF_ERROR(take(absl::string_view(buffer.data(), static_cast<size_t>(got))));
    } else if (got == 0) {
      break;
    } else if (errno == EAGAIN) {
      POMPC_RETURN_IF_ERROR(AwaitInput(file.get(), path));
    } else if (errno != EINTR) {
      return SystemError(errno, "reading", path);
    }
  }
  struct stat info {};
  if (empty && ::fstat(file.get(), &info) == 0 && S_ISFIFO(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("reading ", path, ": it is a pipe that nobody writes to"));
  }
  return absl::OkStatus();
}

absl::Status WriteDurably(const std::string& path, absl::Span<const absl::string_view> parts) {
  const Descriptor file = Open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  if (!file.valid()) return SystemError(errno, "creating", path);
  for (const absl::string_view part : parts) {
    POMPC_RETURN_IF_ERROR(WriteAll(file.get(), part, path));
  }
  if (::fsync(file.get()) != 0) return SystemError(errno, "syncing", path);
  return absl::OkStatus();
}

// Returns the first part of `path` that exists and is not a folder, or an empty text if there is
// none.
std::string FileOnTheWay(const std::string& path) {
  fs::path part;
  std::error_code ignored;
  for (const fs::path& name : fs::path(path)) {
    part /= name;
    if (fs::exists(part, ignored) && !fs::is_directory(part, ignored)) return part.string();
  }
  return "";
}

}  // namespace

absl::Status WriteAll(int fd, absl::string_view content, const std::string& path) {
  POMPC_CHECK_GE(fd, 0);
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return SystemError(errno, "writing", path);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  std::string content;
  POMPC_RETURN_IF_ERROR(ReadPieces(path, [&](absl::string_view piece) {
    if (piece.size() > max_bytes - content.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " is larger than ", max_bytes, " bytes"));
    }
    content.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  return content;
}

// Content first, then the name, then the folder: each step is on the disk before the next one
// begins, so that no crash leaves a name without content.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content) {
  return WriteFileAtomically(path, absl::MakeConstSpan(&content, 1));
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> parts) {
  if (path.empty()) return absl::InvalidArgumentError("a file to write has an empty name");
  // The rename would put a plain file in the place of a device, for everyone (root can replace
  // /dev/null), or of a pipe that somebody reads.
  std::error_code unknown;
  if (fs::is_other(path, unknown)) {
    return absl::FailedPreconditionError(
        absl::StrCat("writing ", path, ": it is a device or a pipe, not a file"));
  }
  const std::string temporary = absl::StrCat(path, kTemporarySuffix);
  absl::Status status = WriteDurably(temporary, parts);
  if (status.ok()) status = Rename(temporary, path);
  if (!status.ok()) {
    // The part that was written may be what fills the disk.
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncPath(fs::path(path).parent_path().string());
}

absl::Status SyncPath(const std::string& path) {
  const Descriptor file = Open(path.empty() ? "." : path, O_RDONLY | O_CLOEXEC);
  if (!file.valid()) return SystemError(errno, "opening", path);
  if (::fsync(file.get()) != 0) return SystemError(errno, "syncing", path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("listing ", folder));
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status MakeFolders(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return absl::OkStatus();
  // The system says "Not a directory", but not which part of the path it means.
  const std::string file = FileOnTheWay(path);
  if (file.empty()) return SystemError(error.value(), "creating folder", path);
  return absl::FailedPreconditionError(
      absl::StrCat("creating folder ", path, ": ", file, " is a file, not a folder"));
}

// mkdir() either makes the folder or fails: of two processes that try the same name, one gets it.
absl::StatusOr<std::string> MakeNewFolder(const std::string& path) {
  POMPC_CHECK(!path.empty());
  constexpr int kMostNames = 10'000;
  POMPC_RETURN_IF_ERROR(MakeFolders(fs::path(path).parent_path().string()));
  for (int i = 1; i <= kMostNames; ++i) {
    std::string name = i == 1 ? path : absl::StrCat(path, "-", i);
    if (::mkdir(name.c_str(), 0777) == 0) return name;
    if (errno != EEXIST) return SystemError(errno, "creating folder", name);
  }
  return absl::AlreadyExistsError(
      absl::StrCat("creating folder ", path, ": it exists, and so does every name up to ", path,
                   "-", kMostNames));
}

absl::StatusOr<std::string> PutAside(const std::string& path) {
  constexpr int kMostNames = 1000;
  for (int i = 1; i <= kMostNames; ++i) {
    std::string name = absl::StrCat(path, ".old");
    if (i > 1) absl::StrAppend(&name, "-", i);
    std::error_code error;
    const fs::file_status found = fs::symlink_status(name, error);
    if (fs::exists(found)) continue;
    POMPC_RETURN_IF_ERROR(Rename(path, name));
    return name;
  }
  return absl::AlreadyExistsError(absl::StrCat(path, " cannot be put aside: ", path,
                                               ".old exists, and so does every name up to ", path,
                                               ".old-", kMostNames));
}

absl::Status Rename(const std::string& from, const std::string& to) {
  POMPC_CHECK(!from.empty() && !to.empty());
  std::error_code error;
  fs::rename(from, to, error);
  return FilesystemError(error, absl::StrCat("renaming ", from, " to"), to);
}

absl::Status RemoveAll(const std::string& path) {
  POMPC_CHECK(!path.empty(), "an empty path would mean this folder");
  std::error_code error;
  fs::remove_all(path, error);
  return FilesystemError(error, "removing", path);
}

absl::StatusOr<Checksum> ChecksumFile(const std::string& path) {
  Checksum checksum;
  uLong crc = crc32(0, nullptr, 0);
  POMPC_RETURN_IF_ERROR(ReadPieces(path, [&](absl::string_view piece) {
    checksum.bytes += piece.size();
    crc = crc32(crc, reinterpret_cast<const Bytef*>(piece.data()), static_cast<uInt>(piece.size()));
    return absl::OkStatus();
  }));
  checksum.crc32 = static_cast<uint32_t>(crc);
  return checksum;
}

// flock() and not fcntl(): its lock belongs to the open file, so that it also excludes other locks
// of this process, and the kernel releases it when the process dies. Whoever finds a stale file can
// lock it.
absl::StatusOr<FileLock> FileLock::Take(const std::string& path) {
  Descriptor file = Open(path, O_RDWR | O_CREAT | O_CLOEXEC);
  if (!file.valid()) return SystemError(errno, "opening", path);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return SystemError(errno, "locking", path);
    const absl::StatusOr<std::string> holder = ReadFile(path);
    return absl::AbortedError(absl::StrCat(path, " is locked by process ", holder.value_or("?")));
  }
  const std::string pid = absl::StrCat(::getpid());
  if (::ftruncate(file.get(), 0) != 0) return SystemError(errno, "truncating", path);
  POMPC_RETURN_IF_ERROR(WriteAll(file.get(), pid, path));
  return FileLock(std::move(file));
}

}  // namespace pompc
