#include "replay/store/database.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "replay/store/manifest.h"
#include "replay/store/records.h"
#include "rocksdb/cache.h"
#include "rocksdb/convenience.h"
#include "rocksdb/env.h"
#include "rocksdb/listener.h"
#include "rocksdb/options.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/checkpoint.h"

namespace pompc::replay {
namespace {

// Write buffers of the chunks (one fills while the other is written to a file) and of each other
// family, and the cache. Rows are served from the table in memory, so the cache only spares reading
// indexes again.
constexpr uint64_t kChunkBuffer = uint64_t{16} << 20, kSmallBuffer = uint64_t{1} << 20;
constexpr int kBuffers = 2;
constexpr uint64_t kCacheBytes = uint64_t{4} << 20;
// A window is in one or two chunks, so that of a block which is read for it little is used.
// docs/performance.md has what sizes and compressions cost.
constexpr size_t kBlockBytes = size_t{64} << 10, kServedBlockBytes = size_t{8} << 10;
// Files of rows are about as large as a write buffer. One that is not open any more is opened again
// for a window.
constexpr int kOpenFiles = 256, kOpenServedFiles = 1024;
static_assert(kBuffers * (kChunkBuffer + (kFamilies - 1) * kSmallBuffer) + kCacheBytes ==
              Database::kMemoryBytes);

constexpr const char* kFamilyNames[kFamilies] = {"default", "chunks", "streams", "plans", "barred"};

// Hands warnings of RocksDB to the debug log of the program, for what fails comes back as a status
// as well. Its own log is a file in the same folder:
// once that could not grow, because the disk is full, the next line would abort the process.
class ProgramLog : public rocksdb::Logger {
 public:
  ProgramLog() : Logger(rocksdb::WARN_LEVEL) {}

  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char text[512];
    std::vsnprintf(text, sizeof(text), format, arguments);
    Log().debug("RocksDB: {}", text);
  }
  // The settings that RocksDB lists when it opens a database.
  void LogHeader(const char* /*format*/, va_list /*arguments*/) override {}
};

// The number of the newest commit, beside the records of kShard.
constexpr char kCommitKey[] = "commit";

rocksdb::DBOptions MakeDbOptions(const DatabaseOptions& options, bool unsynced) {
  rocksdb::DBOptions db;
  db.env = options.env;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  // A record that is cut off at the end of the log was never acknowledged. Any other damage of the
  // log is one of acknowledged rows, and is to be seen. Where rows were acknowledged before they
  // were on disk, a power cut leaves parts of several logs, of which those before the first gap
  // count.
  db.wal_recovery_mode = options.skip_damaged || unsynced
                             ? rocksdb::WALRecoveryMode::kPointInTimeRecovery
                             : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // The log keeps what some family has not flushed. Grants, for instance, would never fill a
  // buffer.
  db.max_total_wal_size = 4 * kChunkBuffer;
  db.max_open_files = options.row_cache_bytes > 0 ? kOpenServedFiles : kOpenFiles;
  db.max_background_jobs = 2;
  db.bytes_per_sync = uint64_t{1} << 20;
  // One thread writes, so writers need not wait for one another by spinning.
  db.enable_write_thread_adaptive_yield = false;
  db.allow_concurrent_memtable_write = false;
  // Recover is called instead.
  db.max_bgerror_resume_count = 0;
  db.info_log = std::make_shared<ProgramLog>();
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.file_checksum_gen_factory = ListedChecksums();
  return db;
}

rocksdb::ColumnFamilyOptions MakeFamilyOptions(Family family, bool serves_rows,
                                               const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions options;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.cache_index_and_filter_blocks = true;
  options.max_write_buffer_number = kBuffers;
  options.write_buffer_size = kSmallBuffer;
  options.compression = rocksdb::kLZ4Compression;
  if (family == Family::kChunks) {
    options.write_buffer_size = kChunkBuffer;
    options.target_file_size_base = kChunkBuffer;
    table.block_size = serves_rows ? kServedBlockBytes : kBlockBytes;
    // Chunks come in the order of their keys and are never overwritten, so files do not overlap.
    // With two levels, a file moves to the second one without being rewritten and stays there until
    // DropChunksBefore deletes it.
    options.num_levels = 2;
    options.level0_file_num_compaction_trigger = 1;
  }
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// The folder of a path; "." where it names none.
std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Makes the folder and those above it, and puts their names on disk: a folder whose name is lost in
// a power cut takes everything in it along.
rocksdb::Status MakeFolders(rocksdb::Env* env, const std::string& path) {
  if (env->FileExists(path).ok()) return rocksdb::Status::OK();
  const std::string parent = ParentOf(path);
  if (parent != path) {
    if (rocksdb::Status status = MakeFolders(env, parent); !status.ok()) return status;
  }
  if (rocksdb::Status status = env->CreateDirIfMissing(path); !status.ok()) return status;
  std::unique_ptr<rocksdb::Directory> directory;
  if (rocksdb::Status status = env->NewDirectory(parent, &directory); !status.ok()) return status;
  return directory->Fsync();
}

}  // namespace

// Once records are in files, and before the logs that had them are deleted, it is noted how much of
// the MANIFEST tells of these files. What is lost of it then is missed at the next opening.
class Database::NotesFlushes : public rocksdb::EventListener {
 public:
  explicit NotesFlushes(Watermark* watermark) : watermark_(watermark) {}
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& /*info*/) override {
    Note(db, watermark_);
  }
  static void Note(rocksdb::DB* db, Watermark* watermark) {
    std::vector<std::string> names;
    uint64_t bytes = 0;
    if (!db->GetLiveFiles(names, &bytes, /*flush_memtable=*/false).ok()) return;
    for (const std::string& name : names) {
      const std::optional<uint64_t> number = ManifestNumber(absl::StripPrefix(name, "/"));
      if (number.has_value()) watermark->NoteManifest(*number, bytes);
    }
  }

 private:
  Watermark* const watermark_;
};

Database::Database(const DatabaseOptions& options)
    : options_(options), watermark_(options.env, options.folder) {}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const DatabaseOptions& options) {
  POMPC_CHECK(!options.folder.empty());
  DatabaseOptions complete = options;
  if (complete.env == nullptr) complete.env = rocksdb::Env::Default();
  while (complete.folder.size() > 1 && complete.folder.back() == '/') complete.folder.pop_back();
  std::unique_ptr<Database> database(new Database(complete));
  POMPC_RETURN_IF_ERROR(
      database->Translate(MakeFolders(complete.env, complete.folder), "making the folder"));
  POMPC_RETURN_IF_ERROR(database->CheckNotInUse());
  POMPC_RETURN_IF_ERROR(database->CheckComplete());
  POMPC_RETURN_IF_ERROR(database->OpenLocked());
  return database;
}

Database::~Database() { Close(); }

// RocksDB takes this lock itself, but says of a failure only that the disk does not do as it is
// told.
absl::Status Database::CheckNotInUse() const {
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status taken = options_.env->LockFile(options_.folder + "/LOCK", &lock);
  if (!taken.ok()) {
    const absl::Status why = Translate(taken, "locking it");
    // Nobody has a lock whose file cannot even be opened: the folder is read-only, or is a file.
    const bool opened = !absl::StrContains(why.message(), "while open a file for lock");
    if (!absl::IsUnavailable(why) || !opened) return why;
    return absl::FailedPreconditionError(
        absl::StrCat(options_.folder,
                     " is in use: another process, or another shard of this one, "
                     "has it for its data (",
                     why.message(), ")"));
  }
  return Translate(options_.env->UnlockFile(lock), "unlocking it");
}

// Where CURRENT is missing, RocksDB takes the database for a new one and deletes what is there.
absl::Status Database::CheckComplete() const {
  if (options_.env->FileExists(options_.folder + "/CURRENT").ok()) return absl::OkStatus();
  std::vector<std::string> names;
  POMPC_RETURN_IF_ERROR(
      Translate(options_.env->GetChildren(options_.folder, &names), "listing the folder"));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".sst") && !absl::EndsWith(name, ".log")) continue;
    return absl::DataLossError(
        absl::StrCat(options_.folder, " holds ", name, ", but the file CURRENT is missing"));
  }
  return absl::OkStatus();
}

absl::Status Database::Damage(const absl::Status& damage) const {
  if (!absl::IsDataLoss(damage) || !options_.skip_damaged) return damage;
  Log().error("opened in spite of damage: {}", std::string(damage.message()));
  return absl::OkStatus();
}

absl::Status Database::OpenLocked(bool read_only) {
  WatermarkEntry known;
  POMPC_RETURN_IF_ERROR(
      Translate(Watermark::Read(options_.env, options_.folder, &known), "reading its WATERMARK"));
  POMPC_RETURN_IF_ERROR(Damage(CheckManifest(options_.env, options_.folder, known)));
  if (!std::exchange(files_checked_, true)) {
    POMPC_RETURN_IF_ERROR(Damage(CheckListedFiles(options_.env, options_.folder)));
  }
  const uint64_t for_rows = options_.row_cache_bytes;
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(kCacheBytes + for_rows);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kFamilies; ++i) {
    families.emplace_back(kFamilyNames[i],
                          MakeFamilyOptions(static_cast<Family>(i), for_rows > 0, cache));
  }
  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DBOptions settings = MakeDbOptions(options_, known.unsynced);
  settings.listeners.push_back(std::make_shared<NotesFlushes>(&watermark_));
  const rocksdb::Status opened =
      read_only ? rocksdb::DB::OpenForReadOnly(settings, options_.folder, families, &handles, &db)
                : rocksdb::DB::Open(settings, options_.folder, families, &handles, &db);
  POMPC_RETURN_IF_ERROR(Translate(opened, "opening it"));
  db_.reset(db);
  POMPC_CHECK_EQ(handles.size(), kFamilies);
  std::copy(handles.begin(), handles.end(), handles_.begin());
  // Batches name the families by these numbers.
  for (size_t i = 0; i < kFamilies; ++i) {
    if (handles_[i]->GetID() == i) continue;
    return absl::DataLossError(absl::StrCat(options_.folder, ": column family ", kFamilyNames[i],
                                            " is number ", handles_[i]->GetID(), ", not ", i));
  }
  // What is opened for reading alone was checked when it was opened for writing.
  return read_only ? absl::OkStatus() : CheckCommits(known.commit);
}

// A write-ahead log whose last records are damaged looks like one that was cut off while they were
// written, and RocksDB leaves them out.
absl::Status Database::CheckCommits(uint64_t known) {
  commit_ = 0;
  const absl::StatusOr<std::string> value = Get(Family::kShard, kCommitKey);
  if (value.ok()) {
    const absl::StatusOr<uint64_t> commit = ParseNumber(kCommitKey, *value);
    POMPC_RETURN_IF_ERROR(Damage(commit.status()));
    commit_ = commit.value_or(0);
  } else if (!absl::IsNotFound(value.status())) {
    POMPC_RETURN_IF_ERROR(Damage(value.status()));
  }
  if (commit_ < known) {
    POMPC_RETURN_IF_ERROR(Damage(absl::DataLossError(
        absl::StrCat(options_.folder, ": the newest records are missing: commit ", known,
                     " was on disk, but its files end with commit ", commit_,
                     "; the end of the write-ahead log is damaged or cut off"))));
  }
  commit_ = std::max(commit_, known);
  watermark_.Start({.commit = commit_});
  NotesFlushes::Note(db_.get(), &watermark_);
  return absl::OkStatus();
}

void Database::Close() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle*& handle : handles_) {
    db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    handle = nullptr;
  }
  db_->Close().PermitUncheckedError();
  db_.reset();
}

absl::Status Database::Write(rocksdb::WriteBatch* batch, bool sync) {
  POMPC_RETURN_IF_ERROR(failure_);
  rocksdb::WriteOptions options;
  options.sync = sync;
  if (!sync) watermark_.NoteUnsynced();
  batch->SetSavePoint();
  const std::string number = NumberValue(kCommitKey, commit_ + 1);
  POMPC_CHECK(batch->Put(handle(Family::kShard), kCommitKey, number).ok());
  failure_ = Translate(db_->Write(options, batch), "writing");
  // The caller may write it again, under another number.
  POMPC_CHECK(batch->RollbackToSavePoint().ok());
  if (!failure_.ok()) return failure_;
  ++commit_;
  if (sync) watermark_.NoteCommit(commit_);
  return absl::OkStatus();
}

absl::Status Database::Sync() {
  POMPC_RETURN_IF_ERROR(failure_);
  failure_ = Translate(db_->SyncWAL(), "putting the log on disk");
  if (failure_.ok()) watermark_.NoteCommit(commit_);
  return failure_;
}

// RocksDB can resume after some errors, but not after one in the write-ahead log (7.8 returns the
// old error). Opening it again helps with all of them, as it does after a crash: what was
// acknowledged is in its files, and what was not is still held by the caller.
absl::Status Database::Recover() {
  WriterLock lock(&reopen_mu_);
  Close();
  failure_ = OpenLocked();
  if (failure_.ok() || options_.row_cache_bytes == 0) return failure_;
  // An opening whose content was refused has left the database open.
  Close();
  // A disk that is full can still be read, which takes another way to open the database.
  if (const absl::Status readable = OpenLocked(/*read_only=*/true); !readable.ok()) {
    Log().error("rows cannot be read: {}", readable.ToString());
  }
  return failure_;
}

absl::Status Database::CopyTo(const std::string& folder) {
  ReaderLock lock(&reopen_mu_);
  const std::string what = absl::StrCat("copying it to ", folder);
  if (db_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(options_.folder, ", ", what, ": it is closed, because it cannot be written"));
  }
  // Commits up to this one were written before, so the copy has them.
  const uint64_t commit = watermark_.commit();
  rocksdb::Checkpoint* made = nullptr;
  POMPC_RETURN_IF_ERROR(Translate(rocksdb::Checkpoint::Create(db_.get(), &made), what));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  POMPC_RETURN_IF_ERROR(Translate(checkpoint->CreateCheckpoint(folder), what));
  Watermark(options_.env, folder).Start({.commit = commit});
  return absl::OkStatus();
}

absl::StatusOr<std::string> Database::Get(Family family, absl::string_view key) const {
  std::string value;
  const rocksdb::Status got =
      db_->Get(rocksdb::ReadOptions(), handle(family), {key.data(), key.size()}, &value);
  POMPC_RETURN_IF_ERROR(Translate(got, absl::StrCat("reading \"", key, "\"")));
  return value;
}

absl::Status Database::MultiGet(
    Family family, std::span<const std::string> keys,
    const std::function<absl::Status(size_t key, const absl::StatusOr<absl::string_view>&)>& visit)
    const {
  const std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
  std::vector<rocksdb::Status> statuses(keys.size());
  // The values may point to blocks of the cache, which goes when the database is opened again.
  ReaderLock lock(&reopen_mu_);
  std::vector<rocksdb::PinnableSlice> values(keys.size());
  if (db_ == nullptr) return absl::UnavailableError("the rows cannot be read at the moment");
  db_->MultiGet(rocksdb::ReadOptions(), handle(family), keys.size(), slices.data(), values.data(),
                statuses.data(), /*sorted_input=*/true);
  for (size_t i = 0; i < keys.size(); ++i) {
    absl::StatusOr<absl::string_view> value(absl::string_view(values[i].data(), values[i].size()));
    if (!statuses[i].ok()) value = Translate(statuses[i], "reading");
    POMPC_RETURN_IF_ERROR(visit(i, value));
  }
  return absl::OkStatus();
}

std::unique_ptr<rocksdb::Iterator> Database::Iterate(Family family) const {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  options.readahead_size = size_t{2} << 20;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options, handle(family)));
}

absl::Status Database::DropChunksBefore(absl::string_view key) {
  const rocksdb::Slice begin(""), end(key.data(), key.size());
  return Translate(rocksdb::DeleteFilesInRange(db_.get(), handle(Family::kChunks), &begin, &end,
                                               /*include_end=*/false),
                   "deleting evicted rows");
}

absl::Status Database::Translate(const rocksdb::Status& status, absl::string_view what) const {
  if (status.ok()) return absl::OkStatus();
  const std::string text = absl::StrCat(options_.folder, ", ", what, ": ", status.ToString());
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(text);
  if (status.IsNotFound()) return absl::NotFoundError(text);
  if (status.IsCorruption()) return absl::DataLossError(text);
  if (status.IsInvalidArgument()) return absl::FailedPreconditionError(text);
  return absl::UnavailableError(text);
}

}  // namespace pompc::replay
