#include "rundir/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::rundir {
namespace {

// The polynomial of CRC-32C with its bits reversed, as the loop below takes the lowest bit first.
constexpr uint32_t kCastagnoli = 0x82f63b78;

std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoli : 0);
    table[byte] = crc;
  }
  return table;
}

// TFRecord files store CRCs masked like this, because the CRC of data that contains its own CRCs
// would tell little.
uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

template <typename T>
std::string LittleEndian(T number) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
  return bytes;
}

}  // namespace

uint32_t Crc32c(absl::string_view data) {
  static const std::array<uint32_t, 256> table = MakeCrcTable();
  uint32_t crc = ~uint32_t{0};
  for (const char c : data) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

std::string TfRecord(absl::string_view data) {
  const std::string length = LittleEndian(static_cast<uint64_t>(data.size()));
  return absl::StrCat(length, LittleEndian(Masked(Crc32c(length))), data,
                      LittleEndian(Masked(Crc32c(data))));
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(const std::string& folder,
                                                             uint64_t restored_updates) {
  POMPC_RETURN_IF_ERROR(MakeFolders(folder));
  // TensorBoard reads a folder's files in the order of their names, so the time has a fixed width.
  const std::string path =
      absl::StrFormat("%s/events.out.tfevents.%013d.pompc", folder, absl::ToUnixMillis(WallTime()));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("creating ", path));
  std::unique_ptr<EventFile> file(new EventFile(path, fd));
  proto::Event version;
  version.set_file_version("brain.Event:2");
  POMPC_RETURN_IF_ERROR(file->Write(std::move(version), 0));
  // A session that starts at a step hides what earlier files have from there on.
  proto::Event start;
  start.mutable_session_log()->set_status(proto::SessionLog::START);
  POMPC_RETURN_IF_ERROR(file->Write(std::move(start), restored_updates + 1));
  return file;
}

EventFile::~EventFile() { ::close(fd_); }

absl::Status EventFile::Append(uint64_t updates, absl::string_view group,
                               const std::vector<std::pair<std::string, double>>& values) {
  POMPC_CHECK(!group.empty());
  proto::Event event;
  for (const auto& [name, number] : values) {
    proto::Summary::Value* value = event.mutable_summary()->add_value();
    value->set_tag(absl::StrCat(group, "/", name));
    value->set_simple_value(static_cast<float>(number));
  }
  return Write(std::move(event), updates);
}

absl::Status EventFile::Write(proto::Event event, uint64_t step) {
  event.set_step(static_cast<int64_t>(step));
  MutexLock lock(&mu_);
  event.set_wall_time(absl::ToDoubleSeconds(WallTime() - absl::UnixEpoch()));
  const std::string record = TfRecord(event.SerializeAsString());
  // Readers stop at a record that was cut off and never see what follows it. So a record that could
  // not be written whole is removed at once, or else before the next one.
  if (torn_ && ::ftruncate(fd_, bytes_) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("truncating ", path_));
  }
  const absl::Status status = WriteAll(fd_, record, path_);
  torn_ = !status.ok() && ::ftruncate(fd_, bytes_) != 0;
  if (status.ok()) bytes_ += static_cast<int64_t>(record.size());
  POMPC_CHECK(!torn_ || !status.ok());
  return status;
}

}  // namespace pompc::rundir
