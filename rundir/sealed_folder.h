#ifndef POMPC_RUNDIR_SEALED_FOLDER_H_
#define POMPC_RUNDIR_SEALED_FOLDER_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace pompc::rundir {

// Folders that are there as a whole or not at all, whatever happens while they are written, with
// checksums of all their files in checksums.json.

// Makes the folder `path`: `fill` writes its files into the folder it is given, `temporary`, which
// then gets checksums, is made durable and renamed. With `replace`, a folder at `path` is exchanged
// for it in one step and deleted; without, ALREADY_EXISTS if there is something at `path`. After an
// error nothing is left at `temporary`, and what was at `path` is there as before. Their common
// parent folder must exist; NOT_FOUND if it is gone. REQUIRES: `path` and `temporary` lie in the
// same folder.
absl::Status WriteSealedFolder(const std::string& path, const std::string& temporary,
                               absl::FunctionRef<absl::Status(const std::string& folder)> fill,
                               bool replace = false);

// OK if the files are those that were written. Otherwise DATA_LOSS naming the file that is missing,
// of another size or of another checksum.
absl::Status VerifySealedFolder(const std::string& path);

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_SEALED_FOLDER_H_
