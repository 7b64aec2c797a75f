#ifndef POMPC_COMMON_IO_DISK_SPACE_H_
#define POMPC_COMMON_IO_DISK_SPACE_H_

#include <string>

namespace pompc {

// Room on the file system of a folder.
struct DiskSpace {
  // Bytes that an ordinary user may still write.
  double free_bytes;
  // Bytes that the file system can hold.
  double total_bytes;
};

// Returns the room there is now; NaN where `folder` is empty or the system does not tell. It blocks
// as long as the file system does.
DiskSpace DiskSpaceOf(const std::string& folder);

}  // namespace pompc

#endif  // POMPC_COMMON_IO_DISK_SPACE_H_
