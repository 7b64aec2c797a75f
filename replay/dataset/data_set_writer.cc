#include "replay/dataset/data_set_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/check.h"
#include "common/io/descriptors.h"
#include "common/io/files.h"
#include "replay/dataset/layout.h"

namespace pompc::replay {
namespace {

namespace fs = std::filesystem;

// Bytes that are gathered before they are written, and read at once.
constexpr size_t kPieceBytes = size_t{1} << 18;

absl::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Bytes of one number of a column; a version consists of two.
uint64_t WidthOf(const Column& column) {
  return column.element == Element::kVersion ? sizeof(uint64_t) : column.element_bytes();
}

template <typename T>
absl::Status WriteNumbers(const std::vector<T>& numbers, int fd, const std::string& path) {
  return WriteAll(fd, Text(std::as_bytes(std::span(numbers))), path);
}

}  // namespace

// A temporary file without a name to which records of one size are appended, and from which they
// are read in any order. It goes with the process, however that ends.
class DataSetWriter::Spool {
 public:
  Spool(std::string path, uint64_t record_bytes)
      : path_(std::move(path)), record_bytes_(record_bytes) {}

  absl::Status Open() {
    file_ = Descriptor(::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file_.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("creating ", path_));
    ::unlink(path_.c_str());
    return absl::OkStatus();
  }

  // Rows come a few at a time. They are gathered, to save system calls.
  absl::Status Append(std::span<const std::byte> records) {
    POMPC_DCHECK_EQ(records.size() % record_bytes_, 0u);
    absl::StrAppend(&waiting_, Text(records));
    return waiting_.size() < kPieceBytes ? absl::OkStatus() : Flush();
  }

  absl::Status Flush() {
    const absl::Status status = WriteAll(file_.get(), waiting_, path_);
    waiting_.clear();
    return status;
  }

  // Writes `count` records from the one at `position` on to `fd`. REQUIRES: they were appended, and
  // Flush was called since.
  absl::Status CopyTo(uint64_t position, uint64_t count, int fd, const std::string& to) {
    uint64_t at = position * record_bytes_;
    const uint64_t end = at + count * record_bytes_;
    std::string piece;
    while (at < end) {
      piece.resize(std::min<uint64_t>(kPieceBytes, end - at));
      const ssize_t got = ::pread(file_.get(), piece.data(), piece.size(), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path_));
      POMPC_CHECK_GT(got, 0, "records that were never written");
      piece.resize(static_cast<size_t>(got));
      // Runs are often short, and their pieces are gathered like those that come in.
      out_.append(piece);
      at += static_cast<uint64_t>(got);
      if (out_.size() >= kPieceBytes) POMPC_RETURN_IF_ERROR(FlushTo(fd, to));
    }
    return absl::OkStatus();
  }
  // Writes what CopyTo has gathered.
  absl::Status FlushTo(int fd, const std::string& to) {
    const absl::Status status = WriteAll(fd, out_, to);
    out_.clear();
    return status;
  }

 private:
  const std::string path_;
  const uint64_t record_bytes_;
  Descriptor file_;
  std::string waiting_;
  std::string out_;
};

DataSetWriter::DataSetWriter(std::string path, const RowSpec& spec, TensorMetadata metadata)
    : path_(std::move(path)), spec_(spec), metadata_(std::move(metadata)) {}

DataSetWriter::~DataSetWriter() = default;

absl::StatusOr<std::unique_ptr<DataSetWriter>> DataSetWriter::Create(
    const std::string& path, const RowSpec& spec, const TensorMetadata& metadata) {
  if (path.empty()) return absl::InvalidArgumentError("a file to write has an empty name");
  // As with WriteFileAtomically, the rename would replace a device or a pipe.
  std::error_code unknown;
  if (fs::is_other(path, unknown)) {
    return absl::FailedPreconditionError(
        absl::StrCat("writing ", path, ": it is a device or a pipe, not a file"));
  }
  std::unique_ptr<DataSetWriter> writer(new DataSetWriter(path, spec, metadata));
  const auto open = [&](absl::string_view name,
                        uint64_t record_bytes) -> absl::StatusOr<std::unique_ptr<Spool>> {
    auto spool =
        std::make_unique<Spool>(absl::StrCat(path, ".", name, kTemporarySuffix), record_bytes);
    POMPC_RETURN_IF_ERROR(spool->Open());
    return spool;
  };
  // A file of columns needs their lengths before their content, and these are known only at the
  // end: each column is gathered in a file of its own, as an export may be larger than memory.
  for (size_t c = 0; c < kRowColumns; ++c) {
    POMPC_ASSIGN_OR_RETURN(auto spool, open(kColumns[c].name, kColumns[c].bytes(spec)));
    writer->columns_.push_back(std::move(spool));
  }
  POMPC_ASSIGN_OR_RETURN(writer->addresses_, open(dataset::kAddresses, sizeof(uint64_t)));
  POMPC_ASSIGN_OR_RETURN(writer->finals_,
                         open(dataset::kFinalObservations, spec.observation_size * sizeof(float)));
  return writer;
}

uint32_t DataSetWriter::SourceNumber(const Source& source) {
  const SegmentId& id = source.segment;
  const Key key = {source.shard,   id.actor_index, id.incarnation,
                   id.environment, id.episode,     id.segment};
  const auto [found, is_new] = numbers_.try_emplace(key, static_cast<uint32_t>(sources_.size()));
  if (is_new) sources_.push_back(source);
  return found->second;
}

absl::Status DataSetWriter::Append(const Source& source, uint64_t first_row,
                                   std::span<const uint64_t> addresses, const RowView& rows) {
  POMPC_CHECK_OK(CheckSizes(spec_, rows));
  POMPC_CHECK_EQ(addresses.size(), rows.count);
  const uint32_t number = SourceNumber(source);
  for (size_t c = 0; c < kRowColumns; ++c) {
    POMPC_RETURN_IF_ERROR(columns_[c]->Append(rows.columns[c]));
  }
  POMPC_RETURN_IF_ERROR(addresses_->Append(std::as_bytes(addresses)));
  if (rows.count > 0) {
    // Rows that follow the run before extend it, so that the list grows with the changes between
    // segments, not with the rows.
    Run* const last = runs_.empty() ? nullptr : &runs_.back();
    const bool follows =
        last != nullptr && last->source == number && last->first_row + last->count == first_row;
    if (follows) {
      last->count += rows.count;
    } else {
      runs_.push_back({number, rows.count, first_row, rows_});
    }
    rows_ += rows.count;
  }
  if (rows.final_observation.empty()) return absl::OkStatus();
  const bool first =
      final_of_.try_emplace(number, Final{first_row + rows.count, final_count_}).second;
  POMPC_CHECK(first, "a segment ends once");
  ++final_count_;
  return finals_->Append(std::as_bytes(rows.final_observation));
}

// Rows of a segment make one episode as long as none is missing: the first ones may have been
// evicted, and others while the rows were read.
void DataSetWriter::MakeEpisodes() {
  const auto key = [this](const Run& run) {
    const Source& source = sources_[run.source];
    const SegmentId& id = source.segment;
    return std::make_tuple(source.shard, id.actor_index, id.incarnation, id.environment, id.episode,
                           id.segment, run.first_row);
  };
  std::sort(runs_.begin(), runs_.end(),
            [&](const Run& a, const Run& b) { return key(a) < key(b); });
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Run& run = runs_[i];
    const Run* const before = i == 0 ? nullptr : &runs_[i - 1];
    const bool same = before != nullptr && before->source == run.source;
    POMPC_CHECK(!same || before->first_row + before->count <= run.first_row, "a row came twice");
    if (!same || before->first_row + before->count < run.first_row) episodes_.push_back({i, i, 0});
    episodes_.back().end = i + 1;
    episodes_.back().rows += run.count;
  }
}

// The final observation belongs to the segment's last episode here, and only if that one has the
// row before it.
const DataSetWriter::Final* DataSetWriter::FinalOf(const Episode& episode) const {
  const Run& last = runs_[episode.end - 1];
  const auto found = final_of_.find(last.source);
  if (found == final_of_.end() || found->second.row != last.first_row + last.count) return nullptr;
  return &found->second;
}

std::vector<TensorEntry> DataSetWriter::Table() const {
  std::vector<TensorEntry> table;
  uint64_t offset = 0;
  const auto add = [&](absl::string_view name, const std::string& dtype, uint64_t number_bytes,
                       std::vector<int64_t> shape) {
    uint64_t bytes = number_bytes;
    for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
    table.push_back({std::string(name), dtype, std::move(shape), offset, bytes});
    offset += bytes;
  };
  const auto rows = static_cast<int64_t>(rows_), episodes = static_cast<int64_t>(episodes_.size());
  // Wide numbers come first, so that every tensor begins at a multiple of the size of its numbers.
  add(dataset::kEpisodeStarts, "I64", 8, {episodes});
  add(dataset::kEpisodeSources, "U64", 8, {episodes, dataset::kSourceNumbers});
  add(dataset::kAddresses, "U64", 8, {rows});
  for (const uint64_t width : {8, 4, 1}) {
    for (size_t c = 0; c < kRowColumns; ++c) {
      if (WidthOf(kColumns[c]) != width) continue;
      add(kColumns[c].name, dataset::TypeOf(kColumns[c]), width,
          dataset::ShapeOf(kColumns[c], spec_, rows_));
    }
    if (width == 4) {
      add(dataset::kFinalObservations, "F32", 4,
          {episodes, static_cast<int64_t>(spec_.observation_size)});
    }
  }
  add(dataset::kHasFinalObservation, "U8", 1, {episodes});
  return table;
}

absl::Status DataSetWriter::WriteRuns(Spool& spool, int fd) {
  for (const Run& run : runs_) {
    POMPC_RETURN_IF_ERROR(spool.CopyTo(run.position, run.count, fd, path_));
  }
  return spool.FlushTo(fd, path_);
}

absl::Status DataSetWriter::WriteEpisodes(int fd) {
  std::vector<int64_t> starts;
  std::vector<uint64_t> sources;
  int64_t start = 0;
  for (const Episode& episode : episodes_) {
    starts.push_back(start);
    start += static_cast<int64_t>(episode.rows);
    const Run& first = runs_[episode.begin];
    const Source& source = sources_[first.source];
    const SegmentId& id = source.segment;
    sources.insert(sources.end(), {source.shard, id.actor_index, id.incarnation, id.environment,
                                   id.episode, id.segment, first.first_row});
  }
  POMPC_CHECK_EQ(sources.size(), starts.size() * dataset::kSourceNumbers);
  POMPC_RETURN_IF_ERROR(WriteNumbers(starts, fd, path_));
  return WriteNumbers(sources, fd, path_);
}

// An episode without a final observation has zeros there, which keep the others at their places.
absl::Status DataSetWriter::WriteFinals(int fd) {
  const std::vector<float> none(spec_.observation_size, 0);
  for (const Episode& episode : episodes_) {
    const Final* const final = FinalOf(episode);
    if (final != nullptr) {
      POMPC_RETURN_IF_ERROR(finals_->CopyTo(final->position, 1, fd, path_));
    } else {
      POMPC_RETURN_IF_ERROR(finals_->FlushTo(fd, path_));
      POMPC_RETURN_IF_ERROR(WriteNumbers(none, fd, path_));
    }
  }
  return finals_->FlushTo(fd, path_);
}

// The parts come in the order of Table().
absl::Status DataSetWriter::WriteTo(int fd) {
  POMPC_RETURN_IF_ERROR(WriteAll(fd, MakeTensorHeader(Table(), metadata_), path_));
  POMPC_RETURN_IF_ERROR(WriteEpisodes(fd));
  POMPC_RETURN_IF_ERROR(WriteRuns(*addresses_, fd));
  for (const uint64_t width : {8, 4, 1}) {
    for (size_t c = 0; c < kRowColumns; ++c) {
      if (WidthOf(kColumns[c]) == width) POMPC_RETURN_IF_ERROR(WriteRuns(*columns_[c], fd));
    }
    if (width == 4) POMPC_RETURN_IF_ERROR(WriteFinals(fd));
  }
  std::vector<uint8_t> has_final;
  for (const Episode& episode : episodes_) has_final.push_back(FinalOf(episode) != nullptr);
  POMPC_RETURN_IF_ERROR(WriteNumbers(has_final, fd, path_));
  if (::fsync(fd) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("syncing ", path_));
  return absl::OkStatus();
}

absl::Status DataSetWriter::Finish() {
  if (rows_ == 0) return absl::FailedPreconditionError(absl::StrCat(path_, ": there are no rows"));
  for (const std::unique_ptr<Spool>& column : columns_) POMPC_RETURN_IF_ERROR(column->Flush());
  POMPC_RETURN_IF_ERROR(addresses_->Flush());
  POMPC_RETURN_IF_ERROR(finals_->Flush());
  MakeEpisodes();
  const std::string temporary = absl::StrCat(path_, kTemporarySuffix);
  absl::Status status;
  {
    const Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    status = file.valid() ? WriteTo(file.get())
                          : absl::ErrnoToStatus(errno, absl::StrCat("creating ", temporary));
  }
  if (status.ok()) status = Rename(temporary, path_);
  if (!status.ok()) {
    // The part that was written may be what fills the disk.
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncPath(fs::path(path_).parent_path().string());
}

}  // namespace pompc::replay
