#include "replay/store/rocks_store.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/occasionally.h"
#include "common/base/random_id.h"
#include "common/process/log.h"
#include "replay/store/content.h"
#include "replay/store/database.h"
#include "replay/store/rocks_rows.h"
#include "replay/store/snapshot.h"

namespace pompc::replay {
namespace {

// What is recorded of evicted rows is deleted for so many addresses at a time. Each deletion opens
// files and leaves a mark in them.
constexpr uint64_t kEvictAtOnce = uint64_t{1} << 16;

}  // namespace

class RocksStore::Impl {
 public:
  Impl(const RocksStoreOptions& options, std::unique_ptr<Database> database,
       const StoreIdentity& identity)
      : options_(options),
        identity_(identity),
        database_(std::move(database)),
        rows_(options.row_cache_bytes > 0 ? std::make_unique<RocksRows>(database_.get()) : nullptr),
        backoff_(options.retry, identity.incarnation),
        synced_at_(options.clock->Now()),
        thread_("store", [this] { Run(); }) {}

  ~Impl() {
    {
      MutexLock lock(&mu_);
      closing_ = true;
      // A grant waits for other records, but not beyond the end.
      recorded_ += grant_.has_value() ? 1 : 0;
      wake_.SignalAll();
    }
    thread_.Join();
    CallBack(absl::CancelledError("the store was closed before the rows were written"),
             /*all=*/true);
  }

  const StoreIdentity& identity() const { return identity_; }
  DiskRows* disk_rows() const { return rows_.get(); }

  // Nothing else uses the database meanwhile: records come only after loading.
  absl::Status Load(const Visitor& visitor) {
    const absl::Status loaded = LoadContent(
        database_.get(), options_.skip_damaged, [&](const StoreRecord& record, double share) {
          if (const auto* evicted = std::get_if<EvictedRecord>(&record)) {
            MutexLock lock(&mu_);
            oldest_ = dropped_before_ = evicted->oldest;
          }
          return visitor(record, share);
        });
    return Annotate(loaded, options_.folder);
  }

  absl::Status Admits() const {
    MutexLock lock(&mu_);
    if (!failure_.ok()) {
      told_ = true;
      return absl::ResourceExhaustedError(absl::StrCat(
          absl::IsResourceExhausted(failure_) ? "the shard's disk is full: "
                                              : "the shard cannot write its rows to disk: ",
          failure_.message()));
    }
    if (pending_.GetDataSize() <= options_.max_pending_bytes) return absl::OkStatus();
    told_ = true;
    return absl::ResourceExhaustedError(
        absl::StrCat("the shard's disk is slower than its writers: ", pending_.GetDataSize(),
                     " bytes wait to be written"));
  }

  void Record(std::span<const StoreRecord> records) {
    MutexLock lock(&mu_);
    bool added = false;
    for (const StoreRecord& record : records) {
      if (const auto* const grant = std::get_if<GrantRecord>(&record)) {
        grant_ = *grant;
        continue;
      }
      if (const auto* chunk = std::get_if<ChunkRecord>(&record)) {
        oldest_ = chunk->oldest;
        chunks_end_ = chunk->address + chunk->slots();
      }
      const auto* const plans = std::get_if<PlansRecord>(&record);
      if (plans != nullptr && rows_ != nullptr) rows_->WritePlans(recorded_ + 1, *plans);
      if (const auto* evicted = std::get_if<EvictedRecord>(&record)) oldest_ = evicted->oldest;
      AddRecord(record, &pending_);
      added = true;
    }
    if (!added) return;
    ++recorded_;
    wake_.SignalAll();
  }

  void WhenDurable(std::function<void(absl::Status)> done) {
    {
      MutexLock lock(&mu_);
      // While a callback waits or is being called, a later one must not overtake it: answers go out
      // in the order of their chunks.
      if (durable_ < recorded_ || !waiting_.empty() || calling_back_) {
        waiting_.push_back({recorded_, std::move(done)});
        return;
      }
    }
    done(absl::OkStatus());
  }

  void OnChange(std::function<void()> changed) {
    MutexLock lock(&change_mu_);
    changed_ = std::move(changed);
  }

  absl::StatusOr<std::string> Snapshot(const std::string& name) {
    if (making_snapshot_.exchange(true)) {
      return absl::UnavailableError("the shard is making another snapshot");
    }
    absl::StatusOr<std::string> folder = MakeSnapshot(database_.get(), name);
    making_snapshot_ = false;
    return folder;
  }

  StoreStats stats() const {
    MutexLock lock(&mu_);
    const absl::Duration present =
        writing_since_.has_value() ? options_.clock->Now() - *writing_since_ : absl::ZeroDuration();
    return {.pending_bytes = recorded_ == durable_ ? 0 : pending_.GetDataSize() + writing_bytes_,
            .commits = commits_,
            .failed_writes = failed_writes_,
            .write_time = write_time_ + present,
            .failure = failure_};
  }

 private:
  struct Waiting {
    uint64_t recorded;
    std::function<void(absl::Status)> done;
  };

  // The committer. It takes whatever has come while it wrote the group before.
  void Run() {
    uint64_t group = 0;
    while (TakeGroup(&group)) {
      if (group > 0) WriteGroup(group);
      SyncIfDue();
    }
    // With kBackground, an orderly end leaves nothing to the operating system.
    if (unsynced_) Report(database_->Sync());
  }

  // Waits until there is something to do; `*group` is the number of the newest record of the group
  // that is to be written, or 0. False when all is written and the store closes, or writing fails
  // and it closes.
  bool TakeGroup(uint64_t* group) {
    MutexLock lock(&mu_);
    const absl::Duration due =
        unsynced_ ? synced_at_ + options_.sync_every : absl::InfiniteDuration();
    while (recorded_ == taken_ && !closing_) {
      if (!options_.clock->WaitUntil(&wake_, &mu_, due)) break;
    }
    *group = 0;
    if (recorded_ == taken_) return !closing_;
    if (closing_ && !failure_.ok()) return false;
    *group = taken_ = recorded_;
    if (grant_.has_value()) AddRecord(*std::exchange(grant_, std::nullopt), &pending_);
    std::swap(pending_, writing_);
    writing_bytes_ = writing_.GetDataSize();
    writing_since_ = options_.clock->Now();
    writing_end_ = chunks_end_;
    return true;
  }

  // Writes the group however long it takes, unless the store closes.
  void WriteGroup(uint64_t group) {
    const bool sync = options_.durability == Durability::kSync;
    for (absl::Status status = database_->Write(&writing_, sync); !Report(status);) {
      if (!PauseBeforeRetry()) return;
      status = database_->Recover();
      // After the batch was written, but not put on disk, it is written once more. That changes
      // nothing, for nothing came in between.
      if (status.ok()) status = database_->Write(&writing_, sync);
    }
    if (rows_ != nullptr) rows_->Written(group, writing_end_);
    writing_.Clear();
    unsynced_ |= !sync;
    bool told = false;
    {
      MutexLock lock(&mu_);
      durable_ = group;
      writing_bytes_ = 0;
      ++commits_;
      write_time_ += options_.clock->Now() - *std::exchange(writing_since_, std::nullopt);
      told = std::exchange(told_, false);
    }
    CallBack(absl::OkStatus(), /*all=*/false);
    if (told) NotifyChange();
    DropEvicted();
  }

  void SyncIfDue() {
    if (!unsynced_ || options_.clock->Now() < synced_at_ + options_.sync_every) return;
    for (absl::Status status = database_->Sync(); !Report(status);) {
      if (!PauseBeforeRetry()) return;
      // Recovery puts on disk all that was written before.
      status = database_->Recover();
    }
    unsynced_ = false;
    synced_at_ = options_.clock->Now();
  }

  // Notes how an attempt to write has ended. True if it has succeeded.
  bool Report(const absl::Status& status) {
    bool news = false;
    {
      MutexLock lock(&mu_);
      news = failure_.ok() != status.ok();
      failure_ = status;
      failed_writes_ += status.ok() ? 0 : 1;
    }
    if (status.ok()) {
      backoff_.Reset();
      if (news) Log().info("{}: rows are written again", options_.folder);
    } else if (failures_.Count(options_.clock->Now()) > 0) {
      Log().error("rows cannot be written, and will be tried again: {}", status.ToString());
    }
    // Whoever waits is told the reason, or that there is none any more.
    if (news) NotifyChange();
    return status.ok();
  }

  // False if the store closes.
  bool PauseBeforeRetry() {
    MutexLock lock(&mu_);
    const absl::Duration until = options_.clock->Now() + backoff_.Next();
    while (!closing_) {
      if (!options_.clock->WaitUntil(&wake_, &mu_, until)) break;
    }
    return !closing_;
  }

  // Calls those whose records are durable; or all.
  void CallBack(const absl::Status& status, bool all) {
    for (;;) {
      std::function<void(absl::Status)> done;
      {
        MutexLock lock(&mu_);
        calling_back_ = !waiting_.empty() && (all || waiting_.front().recorded <= durable_);
        if (!calling_back_) return;
        done = std::move(waiting_.front().done);
        waiting_.pop_front();
      }
      done(status);
    }
  }

  void NotifyChange() {
    MutexLock lock(&change_mu_);
    if (changed_) changed_();
  }

  // An eviction is no record that anybody waits for: if it is not written now, it is with the next.
  void DropEvicted() {
    uint64_t oldest = 0;
    {
      MutexLock lock(&mu_);
      oldest = oldest_;
    }
    // Whoever reads evicted rows still pinned them before they were evicted.
    const uint64_t end = rows_ == nullptr ? oldest : std::min(oldest, rows_->pins().Oldest());
    if (end < dropped_before_ + kEvictAtOnce) return;
    rocksdb::WriteBatch batch;
    AddEviction(end, oldest, &batch);
    absl::Status status = database_->Write(&batch, /*sync=*/true);
    if (status.ok()) status = DropEvictedChunks(database_.get(), end);
    if (status.ok()) {
      dropped_before_ = end;
    } else if (failures_.Count(options_.clock->Now()) > 0) {
      Log().warn("evicted rows stay on disk for now: {}", status.ToString());
    }
  }

  const RocksStoreOptions options_;
  const StoreIdentity identity_;
  // Used by Load, and by the committer afterwards; and by Snapshot.
  const std::unique_ptr<Database> database_;
  // Null unless rows are served from disk.
  const std::unique_ptr<RocksRows> rows_;
  std::atomic<bool> making_snapshot_ = false;

  // The committer's own.
  rocksdb::WriteBatch writing_;
  bool unsynced_ = false;
  Backoff backoff_;
  absl::Duration synced_at_;
  Occasionally failures_{absl::Seconds(30)};
  uint64_t dropped_before_ = 0;
  uint64_t writing_end_ = 0;

  mutable Mutex mu_;
  CondVar wake_;
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  rocksdb::WriteBatch pending_ ABSL_GUARDED_BY(mu_);
  std::optional<GrantRecord> grant_ ABSL_GUARDED_BY(mu_);
  // Calls of Record: all of them, those handed to the committer, those that are durable.
  uint64_t recorded_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t durable_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mu_);
  bool calling_back_ ABSL_GUARDED_BY(mu_) = false;
  // Admits has said no since the last group.
  mutable bool told_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t oldest_ ABSL_GUARDED_BY(mu_) = 0;
  // The address after the newest chunk.
  uint64_t chunks_end_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t writing_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  // When the group was taken that is being written.
  std::optional<absl::Duration> writing_since_ ABSL_GUARDED_BY(mu_);
  absl::Duration write_time_ ABSL_GUARDED_BY(mu_);
  uint64_t commits_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t failed_writes_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);

  Mutex change_mu_;
  std::function<void()> changed_ ABSL_GUARDED_BY(change_mu_);

  Thread thread_;
};

absl::StatusOr<std::unique_ptr<RocksStore>> RocksStore::Open(const RocksStoreOptions& options) {
  POMPC_CHECK(options.durability != Durability::kMemory);
  POMPC_CHECK(options.clock != nullptr);
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Database> database,
                         Database::Open({.folder = options.folder,
                                         .skip_damaged = options.skip_damaged,
                                         .row_cache_bytes = options.row_cache_bytes,
                                         .env = options.env}));
  absl::StatusOr<StoreIdentity> identity = OpenIdentity(database.get(), RandomId());
  if (!identity.ok()) return Annotate(identity.status(), options.folder);
  // Not make_unique: the constructor is private.
  return std::unique_ptr<RocksStore>(
      new RocksStore(std::make_unique<Impl>(options, std::move(database), *identity)));
}

RocksStore::RocksStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksStore::~RocksStore() = default;

uint64_t RocksStore::incarnation() const { return impl_->identity().incarnation; }
uint64_t RocksStore::opening() const { return impl_->identity().opening; }
absl::Status RocksStore::Load(const Visitor& visitor) { return impl_->Load(visitor); }
absl::Status RocksStore::Admits() const { return impl_->Admits(); }
void RocksStore::Record(std::span<const StoreRecord> records) { impl_->Record(records); }
void RocksStore::WhenDurable(std::function<void(absl::Status)> done) {
  impl_->WhenDurable(std::move(done));
}
void RocksStore::OnChange(std::function<void()> changed) { impl_->OnChange(std::move(changed)); }
absl::StatusOr<std::string> RocksStore::Snapshot(const std::string& name) {
  return impl_->Snapshot(name);
}
StoreStats RocksStore::stats() const { return impl_->stats(); }
DiskRows* RocksStore::disk_rows() { return impl_->disk_rows(); }

}  // namespace pompc::replay
