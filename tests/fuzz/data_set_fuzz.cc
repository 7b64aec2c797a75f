// Import: files of any bytes are opened as data sets, and those that open are read from the first
// row to the last.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "replay/dataset/data_set.h"

namespace pompc::replay {
namespace {

constexpr uint32_t kChunkRows = 16;
// A file of a few bytes may describe rows without numbers, as many as it likes.
constexpr uint64_t kMaxChunks = 1000;

// A file in memory, with a name by which it can be opened.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("data_set", MFD_CLOEXEC)) { POMPC_CHECK_GE(fd_, 0); }

  void Write(const uint8_t* data, size_t size) {
    POMPC_CHECK_EQ(ftruncate(fd_, 0), 0);
    POMPC_CHECK_EQ(pwrite(fd_, data, size, 0), static_cast<ssize_t>(size));
  }
  std::string path() const { return absl::StrCat("/proc/self/fd/", fd_); }

 private:
  const int fd_;
};

void ReadAll(const DataSet& data) {
  RowBuffer buffer;
  uint64_t rows = 0, chunks = 0;
  for (uint64_t episode = 0; episode < data.episodes(); ++episode) {
    const uint64_t length = data.EpisodeRows(episode);
    POMPC_CHECK_GT(length, 0u);
    for (uint64_t first = 0; first < length; first += kChunkRows) {
      const auto count = static_cast<uint32_t>(std::min<uint64_t>(kChunkRows, length - first));
      const auto view = data.Read(episode, first, count, &buffer);
      POMPC_CHECK_OK(view.status());
      POMPC_CHECK_OK(CheckSizes(data.spec(), *view));
      rows += count;
      if (++chunks == kMaxChunks) return;
    }
  }
  POMPC_CHECK_EQ(rows, data.rows());
}

}  // namespace

// Has the name of C in any namespace.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static MemoryFile* const file = new MemoryFile;
  file->Write(data, size);
  const auto opened = DataSet::Open(file->path());
  if (!opened.ok()) {
    POMPC_CHECK(!opened.status().message().empty());
    return 0;
  }
  (void)(*opened)->Check(RowLimits());
  ReadAll(**opened);
  return 0;
}

}  // namespace pompc::replay
