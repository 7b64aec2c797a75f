#include "rundir/held_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace pompc::rundir {

absl::StatusOr<HeldFolder> HeldFolder::Open(const std::string& path) {
  const std::string name = path.empty() ? "." : path;
  Descriptor folder(::open(name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", name));
  return HeldFolder(name, std::move(folder));
}

bool HeldFolder::InPlace() const {
  struct stat named {};
  if (::stat(path_.c_str(), &named) != 0) return errno != ENOENT && errno != ENOTDIR;
  struct stat held {};
  if (::fstat(folder_.get(), &held) != 0) return true;
  // An open folder keeps its inode number, so that no other folder can have it.
  return named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

}  // namespace pompc::rundir
