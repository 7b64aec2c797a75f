// Uncompressed zip archives in memory (the format's method 0, "stored"), as .npz files are.
#ifndef POMPC_COMMON_IO_ZIP_ARCHIVE_H_
#define POMPC_COMMON_IO_ZIP_ARCHIVE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc {

// One file of an archive. `content` points into the archive's bytes or into the caller's.
struct ZipMember {
  std::string name;
  std::string_view content;
};

// The archive's bytes; the same members give the same bytes. INVALID_ARGUMENT for what needs zip64
// (4 GiB and more, 65535 members and more), and for names that are empty, longer than 65535 bytes
// or given twice.
absl::StatusOr<std::string> WriteZip(const std::vector<ZipMember>& members);

// The members of an archive, in the order of its directory. `archive` may be anything, and must
// outlive the result. DATA_LOSS saying what is wrong with bytes that are no whole archive or whose
// checksums do not hold; INVALID_ARGUMENT for archives that are compressed, encrypted, split, or
// zip64 (4 GiB and more).
absl::StatusOr<std::vector<ZipMember>> ReadZip(std::string_view archive);

}  // namespace pompc

#endif  // POMPC_COMMON_IO_ZIP_ARCHIVE_H_
