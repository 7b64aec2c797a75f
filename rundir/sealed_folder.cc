#include "rundir/sealed_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "nlohmann/json.hpp"

namespace pompc::rundir {
namespace {

namespace fs = std::filesystem;

constexpr char kChecksums[] = "checksums.json";

// Makes all files durable and writes their checksums beside them.
absl::Status Seal(const std::string& folder) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  nlohmann::json files;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(folder, "/", name);
    // Files are made durable before the checksums are written: after a power failure the checksums
    // may be missing, but they never vouch for a file that is.
    POMPC_RETURN_IF_ERROR(SyncPath(path));
    POMPC_ASSIGN_OR_RETURN(const Checksum checksum, ChecksumFile(path));
    files[name] = {{"bytes", checksum.bytes}, {"crc32", checksum.crc32}};
  }
  const nlohmann::json sealed = {{"format", 1}, {"files", files}};
  return WriteFileAtomically(absl::StrCat(folder, "/", kChecksums), sealed.dump(2) + "\n");
}

// Two folders change places in one step: a rename alone does not replace a folder that has files.
// UNIMPLEMENTED or INVALID_ARGUMENT where the file system cannot do it.
absl::Status Exchange(const std::string& a, const std::string& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) {
    return absl::OkStatus();
  }
  return absl::ErrnoToStatus(errno, absl::StrCat("exchanging ", a, " and ", b));
}

}  // namespace

absl::Status WriteSealedFolder(const std::string& path, const std::string& temporary,
                               absl::FunctionRef<absl::Status(const std::string& folder)> fill,
                               bool replace) {
  // Only within one folder does a rename replace nothing by halves, on every file system.
  POMPC_CHECK(fs::path(path).parent_path() == fs::path(temporary).parent_path());
  std::error_code error;
  const bool exists = fs::exists(path, error);
  if (exists && !replace) {
    return absl::AlreadyExistsError(absl::StrCat(path, " exists already"));
  }
  POMPC_RETURN_IF_ERROR(RemoveAll(temporary));
  // The folders above are not made: if they are gone, nobody would look for the checkpoint there.
  fs::create_directory(temporary, error);
  if (error) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat("creating folder ", temporary));
  }
  absl::Status status = fill(temporary);
  if (status.ok()) status = Seal(temporary);
  if (status.ok()) status = SyncPath(temporary);
  if (status.ok()) status = exists ? Exchange(temporary, path) : Rename(temporary, path);
  if (!status.ok()) {
    // What was written may be what fills the disk.
    RemoveAll(temporary).IgnoreError();
    return status;
  }
  POMPC_RETURN_IF_ERROR(SyncPath(fs::path(path).parent_path().string()));
  // Only now is the new folder sure to be there after a power failure; the old one lies in the
  // temporary's place, and whoever opens the folder next would delete it too.
  return exists ? RemoveAll(temporary) : absl::OkStatus();
}

absl::Status VerifySealedFolder(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(path, "/", kChecksums));
  if (!text.ok()) return absl::DataLossError(absl::StrCat(path, ": ", text.status().message()));
  const nlohmann::json sealed = nlohmann::json::parse(*text, nullptr, false);
  if (!sealed.is_object() || !sealed.contains("files") || !sealed["files"].is_object()) {
    return absl::DataLossError(absl::StrCat(path, "/", kChecksums, " is not readable"));
  }
  // Files beyond those in the list do not matter; somebody may have left a note.
  for (const auto& [name, entry] : sealed["files"].items()) {
    const std::string file = absl::StrCat(path, "/", name);
    if (!entry.is_object() || !entry.contains("bytes") || !entry["bytes"].is_number_unsigned() ||
        !entry.contains("crc32") || !entry["crc32"].is_number_unsigned()) {
      return absl::DataLossError(absl::StrCat(path, "/", kChecksums, " is not readable"));
    }
    const absl::StatusOr<Checksum> found = ChecksumFile(file);
    if (!found.ok()) return absl::DataLossError(found.status().message());
    const Checksum expected{entry["bytes"], entry["crc32"]};
    if (*found == expected) continue;
    return absl::DataLossError(
        absl::StrFormat("%s is corrupt: %u bytes with CRC-32 %08x, written were %u with %08x", file,
                        found->bytes, found->crc32, expected.bytes, expected.crc32));
  }
  return absl::OkStatus();
}

}  // namespace pompc::rundir
