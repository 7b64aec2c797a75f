#include "replay/dataset/data_set.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/short_text.h"
#include "replay/dataset/layout.h"

namespace pompc::replay {
namespace {

using dataset::ShapeOf;
using dataset::TypeOf;

constexpr ColumnOf<float> kObservations = "observations";
constexpr ColumnOf<float> kActions = "actions";
constexpr ColumnOf<uint8_t> kHasPlan = "has_plan";

// Rows that Check reads at a time. The identity of a data set depends on it.
constexpr uint32_t kCheckedRows = 1024;
// Messages quote names from the file, which may be anything.
constexpr size_t kMaxName = 60;

std::string Quoted(const std::string& name) {
  return absl::StrCat("\"", ShortText(name, kMaxName), "\"");
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

const TensorEntry* Find(const std::vector<TensorEntry>& table, absl::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const TensorEntry& entry) { return entry.name == name; });
  return found == table.end() ? nullptr : &*found;
}

uint64_t BytesOfType(absl::string_view dtype) {
  if (dtype == "U8" || dtype == "BOOL") return 1;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  return dtype == "I64" || dtype == "U64" || dtype == "F64" ? 8 : 0;
}

// Checks type and shape of a tensor, and that it has as many bytes as these ask for.
absl::Status CheckTensor(const TensorEntry& entry, const std::vector<std::string>& types,
                         const std::vector<int64_t>& shape) {
  if (std::find(types.begin(), types.end(), entry.dtype) == types.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(entry.name), " has the type ", ShortText(entry.dtype, 20),
                     ", must be ", absl::StrJoin(types, " or "),
                     types.front() == "F32" ? " (NumPy: .astype(numpy.float32))" : ""));
  }
  if (entry.shape != shape) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(entry.name), " has the shape ",
                                                   ShapeText(entry.shape), ", must be ",
                                                   ShapeText(shape)));
  }
  uint64_t numbers = 1;
  for (const int64_t size : shape) numbers *= static_cast<uint64_t>(size);
  if (entry.bytes == numbers * BytesOfType(entry.dtype)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("tensor ", Quoted(entry.name), " has ", entry.bytes,
                                          " bytes, which is not what its shape asks for"));
}

// Types that hold the numbers of a column. Flags of NumPy are often bool, which has the same bytes.
std::vector<std::string> TypesFor(const Column& column) {
  if (column.element == Element::kByte) return {"U8", "BOOL"};
  return {TypeOf(column)};
}

bool IsKnown(absl::string_view name) {
  for (size_t c = 0; c < kRowColumns; ++c) {
    if (kColumns[c].name == name) return true;
  }
  return name == dataset::kEpisodeStarts || name == dataset::kFinalObservations ||
         name == dataset::kHasFinalObservation || name == dataset::kEpisodeSources ||
         name == dataset::kAddresses;
}

// Names all that is missing and all that is unknown at once: who writes such a file from another
// program meets each mistake many times. A tensor that nothing reads may be one whose name was
// misspelled, and is refused.
absl::Status CheckNames(const std::vector<TensorEntry>& table) {
  std::vector<std::string> missing, unknown;
  for (size_t c = 0; c < kRowColumns; ++c) {
    const std::string name(kColumns[c].name);
    if (!kColumns[c].of_plan && Find(table, name) == nullptr) missing.push_back(Quoted(name));
  }
  if (Find(table, dataset::kEpisodeStarts) == nullptr) {
    missing.push_back(Quoted(dataset::kEpisodeStarts));
  }
  constexpr size_t kMaxNamed = 8;
  for (const TensorEntry& entry : table) {
    if (!IsKnown(entry.name) && unknown.size() < kMaxNamed) unknown.push_back(Quoted(entry.name));
  }
  if (missing.empty() && unknown.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tensors of a data set (docs/datasets.md):",
                   missing.empty() ? "" : absl::StrCat(" missing ", absl::StrJoin(missing, ", ")),
                   missing.empty() || unknown.empty() ? "" : ";",
                   unknown.empty() ? "" : absl::StrCat(" unknown ", absl::StrJoin(unknown, ", "))));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const DataSet>> DataSet::Open(const std::string& path) {
  std::unique_ptr<DataSet> data(new DataSet(path));
  absl::Status status = data->OpenFile();
  if (!status.ok()) return status;
  absl::StatusOr<TensorHeader> header = data->ReadHeader();
  if (header.ok()) {
    data->data_begin_ = header->data_begin;
    data->metadata_ = std::move(header->metadata);
    status = data->TakeTensors(header->table);
  } else {
    status = header.status();
  }
  if (!status.ok()) return Annotate(status, path);
  return data;
}

absl::Status DataSet::OpenFile() {
  // Without O_NONBLOCK, opening a pipe that nobody writes to would hang here.
  file_ = Descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file_.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path_));
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path_));
  }
  // Columns are read where they stand, which a pipe cannot do.
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path_, " is not a plain file"));
  }
  file_bytes_ = static_cast<uint64_t>(info.st_size);
  return absl::OkStatus();
}

absl::StatusOr<TensorHeader> DataSet::ReadHeader() const {
  std::string beginning(std::min(file_bytes_, kTensorLengthBytes), '\0');
  POMPC_RETURN_IF_ERROR(ReadAt(0, beginning.size(), beginning.data()));
  POMPC_ASSIGN_OR_RETURN(const uint64_t length, TensorHeaderBytes(beginning, file_bytes_));
  std::string text(length, '\0');
  POMPC_RETURN_IF_ERROR(ReadAt(kTensorLengthBytes, text.size(), text.data()));
  absl::StatusOr<TensorHeader> header = ParseTensorHeader(text, file_bytes_);
  if (header.ok()) return header;
  // The parser quotes the file, which may be anything, at any length.
  constexpr size_t kMaxMessage = 300;
  return absl::Status(header.status().code(), ShortText(header.status().message(), kMaxMessage));
}

// Names, sizes, columns, episodes: each step relies on what those before it have checked.
absl::Status DataSet::TakeTensors(const std::vector<TensorEntry>& table) {
  const auto format = metadata_.find(dataset::kFormatKey);
  if (format != metadata_.end() && format->second != dataset::kFormat) {
    return absl::InvalidArgumentError(absl::StrCat("metadata \"", dataset::kFormatKey, "\" is ",
                                                   Quoted(format->second), ", must be \"",
                                                   dataset::kFormat, "\" or absent"));
  }
  POMPC_RETURN_IF_ERROR(CheckNames(table));
  POMPC_RETURN_IF_ERROR(TakeSizes(table));
  POMPC_RETURN_IF_ERROR(TakeColumns(table));
  return TakeEpisodes(table);
}

// Rows and sizes are those of the observations and actions; all other shapes follow from them.
absl::Status DataSet::TakeSizes(const std::vector<TensorEntry>& table) {
  for (const size_t column : {kObservations.index, kActions.index}) {
    const std::string name(kColumns[column].name);
    const std::vector<int64_t>& shape = Find(table, name)->shape;
    // Far above any file, and so low that no product of sizes overflows.
    constexpr int64_t kMost = int64_t{1} << 40;
    const bool possible = shape.size() == 2 && shape[0] > 0 && shape[1] > 0 && shape[0] < kMost &&
                          shape[1] <= 100'000;
    if (!possible) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", Quoted(name), " has the shape ", ShapeText(shape),
                       ", must be [rows, numbers], with 1 row and 1 to 100000 numbers at least"));
    }
    rows_ = static_cast<uint64_t>(shape[0]);
    (column == kActions.index ? spec_.action_size : spec_.observation_size) =
        static_cast<uint32_t>(shape[1]);
  }
  // If the two disagree, it is the actions that have a wrong shape, as TakeColumns says.
  rows_ = static_cast<uint64_t>(Find(table, kColumns[kObservations.index].name)->shape[0]);
  return absl::OkStatus();
}

absl::Status DataSet::TakeColumns(const std::vector<TensorEntry>& table) {
  for (size_t c = 0; c < kRowColumns; ++c) {
    const Column& column = kColumns[c];
    const TensorEntry* const entry = Find(table, column.name);
    if (entry == nullptr) continue;
    POMPC_RETURN_IF_ERROR(CheckTensor(*entry, TypesFor(column), ShapeOf(column, spec_, rows_)));
    // Versions of another run mean nothing here. Their tensor is checked and not read.
    if (column.element != Element::kVersion) columns_[c] = data_begin_ + entry->offset;
    has_plans_ |= column.of_plan;
  }
  if (!has_plans_) return absl::OkStatus();
  // A plan that lacks its value or its version can be learned from; one without its Gaussian
  // cannot.
  for (size_t c = 0; c < kRowColumns; ++c) {
    const Column& column = kColumns[c];
    const bool of_gaussian = column.of_plan && column.in_window == InWindow::kStates;
    if (!of_gaussian || c == kHasPlan.index || columns_[c].has_value()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("it has tensors of plans, but not \"", column.name, "\""));
  }
  return absl::OkStatus();
}

absl::Status DataSet::TakeEpisodes(const std::vector<TensorEntry>& table) {
  POMPC_RETURN_IF_ERROR(ReadStarts(*Find(table, dataset::kEpisodeStarts)));
  const auto episodes = static_cast<int64_t>(starts_.size());
  if (const TensorEntry* finals = Find(table, dataset::kFinalObservations)) {
    POMPC_RETURN_IF_ERROR(
        CheckTensor(*finals, {"F32"}, {episodes, static_cast<int64_t>(spec_.observation_size)}));
    finals_ = data_begin_ + finals->offset;
  }
  if (const TensorEntry* has_final = Find(table, dataset::kHasFinalObservation)) {
    POMPC_RETURN_IF_ERROR(CheckTensor(*has_final, {"U8", "BOOL"}, {episodes}));
    if (!finals_.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat("it has \"", dataset::kHasFinalObservation,
                                                     "\", but not \"", dataset::kFinalObservations,
                                                     "\""));
    }
    return ReadHasFinal(*has_final);
  }
  return absl::OkStatus();
}

absl::Status DataSet::ReadHasFinal(const TensorEntry& entry) {
  has_final_.resize(starts_.size());
  POMPC_RETURN_IF_ERROR(ReadAt(data_begin_ + entry.offset, has_final_.size(), has_final_.data()));
  const auto bad =
      std::find_if(has_final_.begin(), has_final_.end(), [](uint8_t n) { return n > 1; });
  if (bad == has_final_.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(dataset::kHasFinalObservation, " of episode ",
                                                 bad - has_final_.begin(), " is ", *bad,
                                                 ", must be 0 or 1"));
}

absl::Status DataSet::ReadStarts(const TensorEntry& entry) {
  // Whoever has more episodes than rows has made a mistake, and need not be given their memory.
  const bool possible = entry.shape.size() == 1 && entry.shape[0] > 0 &&
                        static_cast<uint64_t>(entry.shape[0]) <= rows_;
  if (!possible) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", Quoted(entry.name), " has the shape ",
                                                   ShapeText(entry.shape), ", must be [1 to ",
                                                   rows_, "], the number of episodes"));
  }
  POMPC_RETURN_IF_ERROR(CheckTensor(entry, {"I64", "I32", "U64", "U32"}, entry.shape));
  std::vector<std::byte> bytes(entry.bytes);
  POMPC_RETURN_IF_ERROR(ReadAt(data_begin_ + entry.offset, bytes.size(), bytes.data()));
  const uint64_t width = BytesOfType(entry.dtype);
  starts_.reserve(static_cast<size_t>(entry.shape[0]));
  for (uint64_t i = 0; i * width < bytes.size(); ++i) {
    // A negative number becomes one that is larger than any row.
    uint64_t start = 0;
    std::memcpy(&start, bytes.data() + i * width, width);
    const bool first = i == 0;
    if ((first ? start == 0 : start > starts_.back()) && start < rows_) {
      starts_.push_back(start);
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor ", Quoted(entry.name), ": number ", i, " is ", static_cast<int64_t>(start),
        ", must be ",
        first ? "0, the first row"
              : absl::StrCat("above ", starts_.back(), " and below ", rows_, ", the rows")));
  }
  return absl::OkStatus();
}

uint64_t DataSet::EndOf(uint64_t episode) const {
  POMPC_CHECK_LT(episode, starts_.size());
  return episode + 1 < starts_.size() ? starts_[episode + 1] : rows_;
}

uint64_t DataSet::EpisodeRows(uint64_t episode) const { return EndOf(episode) - starts_[episode]; }

absl::Status DataSet::ReadAt(uint64_t position, std::size_t bytes, void* to) const {
  auto* next = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(file_.get(), next, bytes, static_cast<off_t>(position));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, absl::StrCat("reading ", path_));
    if (got == 0) return absl::DataLossError(absl::StrCat(path_, " was cut off while it was read"));
    next += got;
    position += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status DataSet::ReadColumn(size_t column, uint64_t row, uint32_t count,
                                 RowBuffer* buffer) const {
  const Column& what = kColumns[column];
  const uint64_t row_bytes = what.bytes(spec_);
  std::vector<std::byte>& bytes = buffer->columns_[column];
  bytes.resize(count * row_bytes);
  if (columns_[column].has_value()) {
    return ReadAt(*columns_[column] + row * row_bytes, bytes.size(), bytes.data());
  }
  // The file does not have the column, so every row gets its filler.
  for (uint32_t i = 0; i < count; ++i) WriteFiller(what, spec_, bytes.data() + i * row_bytes);
  // Where plans are given for all rows, nobody needs to say so.
  if (column == kHasPlan.index && has_plans_) std::fill(bytes.begin(), bytes.end(), std::byte{1});
  return absl::OkStatus();
}

absl::Status DataSet::ReadFinal(uint64_t episode, RowBuffer* buffer) const {
  buffer->final_observation_.clear();
  const bool there = finals_.has_value() && (has_final_.empty() || has_final_[episode] != 0);
  if (!there) return absl::OkStatus();
  std::vector<float>& final = buffer->final_observation_;
  final.resize(spec_.observation_size);
  const uint64_t bytes = final.size() * sizeof(float);
  return ReadAt(*finals_ + episode * bytes, bytes, final.data());
}

absl::StatusOr<RowView> DataSet::Read(uint64_t episode, uint64_t first, uint32_t count,
                                      RowBuffer* buffer) const {
  const uint64_t begin = starts_[episode] + first;
  POMPC_CHECK_GT(count, 0u);
  POMPC_CHECK_LE(first + count, EpisodeRows(episode));
  RowView view;
  view.count = count;
  for (size_t c = 0; c < kRowColumns; ++c) {
    POMPC_RETURN_IF_ERROR(ReadColumn(c, begin, count, buffer));
  }
  // What stands in the plan of a row without one means nothing, and need not be a plan.
  const std::vector<std::byte>& has_plan = buffer->columns_[kHasPlan.index];
  for (size_t c = 0; c < kRowColumns; ++c) {
    const uint64_t row_bytes = kColumns[c].bytes(spec_);
    std::vector<std::byte>& bytes = buffer->columns_[c];
    for (uint32_t i = 0; i < count && kColumns[c].of_plan; ++i) {
      if (has_plan[i] != std::byte{0}) continue;
      WriteFiller(kColumns[c], spec_, bytes.data() + i * row_bytes);
    }
    view.columns[c] = bytes;
  }
  const bool last = begin + count == EndOf(episode);
  if (last) POMPC_RETURN_IF_ERROR(ReadFinal(episode, buffer));
  if (last) view.final_observation = buffer->final_observation_;
  return view;
}

// The checksum of all that is read is the data set's identity: shards know by it what they have of
// which file. Lengths of episodes go in as well, since other bounds make other windows.
absl::StatusOr<uint32_t> DataSet::Check(const RowLimits& limits) const {
  RowBuffer buffer;
  uLong crc = crc32(0, nullptr, 0);
  const auto add = [&crc](const void* bytes, size_t count) {
    // zlib takes a null pointer, which is what an empty span has, for the wish to begin again.
    if (count > 0) crc = crc32_z(crc, static_cast<const Bytef*>(bytes), count);
  };
  for (uint64_t episode = 0; episode < episodes(); ++episode) {
    const uint64_t rows = EpisodeRows(episode);
    add(&rows, sizeof(rows));
    for (uint64_t first = 0; first < rows; first += kCheckedRows) {
      const auto count = static_cast<uint32_t>(std::min<uint64_t>(kCheckedRows, rows - first));
      POMPC_ASSIGN_OR_RETURN(const RowView view, Read(episode, first, count, &buffer));
      POMPC_RETURN_IF_ERROR(Annotate(CheckValues(spec_, limits, view, 0, starts_[episode] + first),
                                     absl::StrCat(path_, ": episode ", episode)));
      // Within the rows that were read, CheckValues has looked for this.
      if (view.Get<uint8_t>("terminated").back() != 0 && first + count < rows) {
        return absl::InvalidArgumentError(absl::StrCat(path_, ": episode ", episode, ": row ",
                                                       starts_[episode] + first + count - 1,
                                                       " is terminated, and rows follow"));
      }
      for (size_t c = 0; c < kRowColumns; ++c) {
        add(view.columns[c].data(), view.columns[c].size());
      }
      add(view.final_observation.data(), view.final_observation.size_bytes());
    }
  }
  return static_cast<uint32_t>(crc);
}

// What a file says of itself must be what the run is about; what it leaves out is its user's word.
absl::Status CheckFits(const DataSet& data, const RowSpec& spec, const std::string& task,
                       uint32_t action_repeat) {
  const auto differs = [&](const std::string& what, const std::string& have,
                           const std::string& want) {
    if (have == want) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        data.path(), ": ", what, " ", ShortText(have, kMaxName), ", the run's is ", want));
  };
  const auto number = [](uint64_t value) { return absl::StrCat(value); };
  POMPC_RETURN_IF_ERROR(differs("the observation size is", number(data.spec().observation_size),
                                number(spec.observation_size)));
  POMPC_RETURN_IF_ERROR(
      differs("the action size is", number(data.spec().action_size), number(spec.action_size)));
  const auto metadata = [&](const char* key, const std::string& want) {
    const auto found = data.metadata().find(key);
    if (found == data.metadata().end()) return absl::OkStatus();
    return differs(absl::StrCat("metadata \"", key, "\" is"), found->second, want);
  };
  if (!task.empty()) POMPC_RETURN_IF_ERROR(metadata(dataset::kTaskKey, task));
  if (action_repeat == 0) return absl::OkStatus();
  return metadata(dataset::kActionRepeatKey, number(action_repeat));
}

}  // namespace pompc::replay
