#ifndef POMPC_TESTS_REPLAY_STORE_STORE_ENV_H_
#define POMPC_TESTS_REPLAY_STORE_STORE_ENV_H_

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "common/base/threads.h"
#include "rocksdb/env.h"

namespace pompc::replay {

// The operating system's files, on a disk that a test fills, slows down and watches.
class StoreEnv : public rocksdb::EnvWrapper {
 public:
  StoreEnv() : rocksdb::EnvWrapper(rocksdb::Env::Default()) {}

  // While set, whatever is written fails for want of room.
  void SetFull(bool full) { full_ = full; }

  // While held, what puts a write-ahead log on disk does not return.
  void HoldSyncs() {
    MutexLock lock(&mu_);
    held_ = true;
  }
  void ReleaseSyncs() {
    MutexLock lock(&mu_);
    held_ = false;
    changed_.SignalAll();
  }
  // Blocks until a log is being put on disk and is held.
  void AwaitHeldSync() {
    MutexLock lock(&mu_);
    while (waiting_ == 0) changed_.Wait(&mu_);
  }
  // The number of times that a log was put on disk.
  int log_syncs() const { return log_syncs_; }

  rocksdb::Status NewWritableFile(const std::string& name,
                                  std::unique_ptr<rocksdb::WritableFile>* file,
                                  const rocksdb::EnvOptions& options) override {
    if (full_) return NoSpace();
    const bool is_log = name.ends_with(".log");
    rocksdb::Status status = EnvWrapper::NewWritableFile(name, file, options);
    if (status.ok()) *file = std::make_unique<File>(this, is_log, std::move(*file));
    return status;
  }

 private:
  class File : public rocksdb::WritableFileWrapper {
   public:
    File(StoreEnv* env, bool is_log, std::unique_ptr<rocksdb::WritableFile> file)
        : WritableFileWrapper(file.get()), env_(env), is_log_(is_log), file_(std::move(file)) {}
    rocksdb::Status Append(const rocksdb::Slice& data) override {
      return env_->full_ ? NoSpace() : WritableFileWrapper::Append(data);
    }
    rocksdb::Status Append(const rocksdb::Slice& data,
                           const rocksdb::DataVerificationInfo& info) override {
      return env_->full_ ? NoSpace() : WritableFileWrapper::Append(data, info);
    }
    rocksdb::Status Sync() override {
      if (is_log_) env_->SyncLog();
      return env_->full_ ? NoSpace() : WritableFileWrapper::Sync();
    }

   private:
    StoreEnv* const env_;
    const bool is_log_;
    const std::unique_ptr<rocksdb::WritableFile> file_;
  };

  static rocksdb::Status NoSpace() { return rocksdb::Status::NoSpace("the test's disk is full"); }

  void SyncLog() {
    ++log_syncs_;
    MutexLock lock(&mu_);
    ++waiting_;
    changed_.SignalAll();
    while (held_) changed_.Wait(&mu_);
    --waiting_;
  }

  std::atomic<bool> full_{false};
  std::atomic<int> log_syncs_{0};
  Mutex mu_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  int waiting_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_STORE_STORE_ENV_H_
