#ifndef POMPC_RUNDIR_HELD_FOLDER_H_
#define POMPC_RUNDIR_HELD_FOLDER_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/io/descriptors.h"

namespace pompc::rundir {

// A folder that is held open, so that it can be told from another one that takes its name.
// Thread-safe.
class HeldFolder {
 public:
  // `path`: of an existing folder; empty: the current one.
  static absl::StatusOr<HeldFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }
  // True while the path still leads to the folder, and also if the system does not say: a folder
  // that cannot be looked at need not be gone.
  bool InPlace() const;

 private:
  HeldFolder(std::string path, Descriptor folder)
      : path_(std::move(path)), folder_(std::move(folder)) {}

  std::string path_;
  Descriptor folder_;
};

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_HELD_FOLDER_H_
