// Writes event files for a test that reads them.
//
//   event_file_writer FOLDER RESTORED_UPDATES FIRST LAST
//
// A file in FOLDER with the numbers of the updates FIRST to LAST: "update/loss" is 1 / update,
// "update/none" NaN.
#include <cstdint>
#include <iostream>
#include <limits>

#include "absl/strings/numbers.h"
#include "common/base/check.h"
#include "rundir/event_file.h"

namespace pompc::rundir {
namespace {

absl::Status WriteNumbers(const char* folder, uint64_t restored, uint64_t first, uint64_t last) {
  POMPC_ASSIGN_OR_RETURN(const auto file, EventFile::Create(folder, restored));
  for (uint64_t update = first; update <= last; ++update) {
    POMPC_RETURN_IF_ERROR(file->Append(update, "update",
                                       {{"loss", 1.0 / static_cast<double>(update)},
                                        {"none", std::numeric_limits<double>::quiet_NaN()}}));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace pompc::rundir

int main(int argc, char** argv) {
  uint64_t restored = 0, first = 0, last = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[2], &restored) || !absl::SimpleAtoi(argv[3], &first) ||
      !absl::SimpleAtoi(argv[4], &last)) {
    std::cerr << "usage: event_file_writer FOLDER RESTORED_UPDATES FIRST LAST" << std::endl;
    return 2;
  }
  const absl::Status status = pompc::rundir::WriteNumbers(argv[1], restored, first, last);
  if (status.ok()) return 0;
  std::cerr << status.ToString() << std::endl;
  return 1;
}
