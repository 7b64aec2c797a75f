#ifndef POMPC_RUNDIR_RUN_DIRECTORY_H_
#define POMPC_RUNDIR_RUN_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/files.h"
#include "proto/config.pb.h"
#include "proto/run.pb.h"

namespace pompc::rundir {

// The end of a start of the learner.
struct RunEnd {
  // In words: "FINISHED: all 2000 rows are stored", "failed: ...", "interrupted: ...".
  std::string outcome;
  // The run's counters then.
  uint64_t rows = 0;
  uint64_t updates = 0;
  double elapsed_seconds = 0;
};

// What the newest start of a run says about its end.
struct NewestStart {
  // Counts the starts; 1 for the first.
  uint64_t number = 0;
  // Absent while it runs, and for good if it was killed.
  std::optional<RunEnd> end;
};

// The folder in which `pompc train` keeps the rows of a shard.
std::string ShardFolder(const std::string& run_dir, int shard);

// For programs that read a run; it may be running. DATA_LOSS naming the file that cannot be read.
absl::StatusOr<NewestStart> ReadNewestStart(const std::string& run_dir);

// The limits that were changed while the run went on; no fields if none was. DATA_LOSS naming the
// file if it cannot be read.
absl::StatusOr<proto::KeptLimits> ReadKeptLimits(const std::string& run_dir);

// Where the learner of a run can be reached, and the run that it must then serve.
struct ServedRun {
  std::string run_id;
  // "host:port" of the newest start.
  std::string address;
};
// NOT_FOUND if the folder holds no run, or if its newest start serves no address.
// FAILED_PRECONDITION if that start has ended. DATA_LOSS as ReadNewestStart.
absl::StatusOr<ServedRun> ReadServedRun(const std::string& run_dir);

// The folder that is all a run leaves behind (docs/run-directory.md). Held by one learner at a
// time; destruction lets go of it.
class RunDirectory {
 public:
  // Creates the folder for a new run, or takes over the folder of an earlier start of the same run,
  // which is to be resumed with `config`. FAILED_PRECONDITION if another learner holds it, if it is
  // not empty and no run directory, if a part of the path is a file, or as CheckSameRun. DATA_LOSS
  // naming run.json or config.textproto when it is empty or cut off. Otherwise the system's reason,
  // with the file that cannot be written. After an error the run is as it was.
  static absl::StatusOr<std::unique_ptr<RunDirectory>> Open(const std::string& path,
                                                            const proto::RunConfig& config);

  // Refuses, as Open does, a folder that holds something else or a run that cannot be resumed with
  // `config`; creates nothing. For what must be refused before the parts of a run that keep
  // something in its folder start.
  static absl::Status Check(const std::string& path, const proto::RunConfig& config);

  // Makes this resolved config the run's. It is for a start that is sure to succeed, since later
  // starts resume with what is written here.
  absl::Status WriteConfig(const proto::RunConfig& config) const;
  // The same if no start has written a config yet, because each was killed before.
  absl::Status WriteConfigIfMissing(const proto::RunConfig& config) const;

  // Keeps changed limits for later starts: limits.textproto.
  absl::Status WriteLimits(const proto::KeptLimits& limits) const;

  // Writes learner.json: the address, "host:port", at which this start serves.
  absl::Status WriteAddress(const std::string& address) const;

  // Writes ended.json: how this start ended.
  absl::Status WriteEnd(const RunEnd& end) const;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  // Names the run in every message.
  const std::string& run_id() const { return run_id_; }
  // Counts the starts of the run; 1 for the first.
  uint64_t learner_incarnation() const { return learner_incarnation_; }

 private:
  RunDirectory(std::string path, std::string run_id, uint64_t learner_incarnation, FileLock lock)
      : path_(std::move(path)),
        run_id_(std::move(run_id)),
        learner_incarnation_(learner_incarnation),
        lock_(std::move(lock)) {}

  const std::string path_;
  const std::string run_id_;
  const uint64_t learner_incarnation_;
  const FileLock lock_;
};

// Compares what must be equal for a run made with `before` to be resumed with `now`: env, model
// without matmul_dtype, whether the policy has a prior and KL-regularised values, and whether the
// run learns offline, because rows and updates would then count from where they never were. Returns
// nothing, or the fields that differ with both values: "model.latent_dim: 64, now 128; ...". Where
// the task or the action repeat differs, env.spec, which follows from them, is not listed.
std::string ConfigDifferences(const proto::RunConfig& before, const proto::RunConfig& now);

// FAILED_PRECONDITION naming `path` and the ConfigDifferences, if there are any.
absl::Status CheckSameRun(const std::string& path, const proto::RunConfig& before,
                          const proto::RunConfig& now);

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_RUN_DIRECTORY_H_
