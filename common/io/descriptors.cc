#include "common/io/descriptors.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/process/log.h"

namespace pompc {
namespace {

// `pompc train` opens about 30 before the first client connects.
constexpr int kLeastDescriptors = 64;
// Below this, a fleet of a hundred actors is near the limit.
constexpr int kLowDescriptors = 512;
// A connection costs the server 15 KB before its first request. More than these are a fault of the
// clients, whatever the limit allows (Docker's is 1,048,576 or more).
constexpr int kMostDescriptors = 16384;

}  // namespace

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    // The limit stays as it is where that is forbidden.
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

absl::Status CheckDescriptorLimit() {
  const int now = DescriptorLimit();
  if (now < kLeastDescriptors) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the limit of open file descriptors (ulimit -n) is ", now, "; at least ",
                     kLeastDescriptors, " are needed"));
  }
  if (now < kLowDescriptors) {
    Log().warn(
        "the limit of open file descriptors (ulimit -n) is {}: clients will be refused beyond "
        "about "
        "{} connections",
        now, ConnectionDescriptorBound());
  }
  return absl::OkStatus();
}

int DescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMostDescriptors;
  return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int>::max()));
}

// A quarter, but enough for a checkpoint's files and a few pages, and no more than a server can
// use.
int ReservedDescriptors() { return std::clamp(DescriptorLimit() / 4, 16, 1024); }

int ConnectionDescriptorBound() {
  return std::min(DescriptorLimit(), kMostDescriptors) - ReservedDescriptors();
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

int Descriptor::Release() { return std::exchange(fd_, -1); }

void Descriptor::Reset() {
  if (valid()) close(Release());
}

int PollTimeout(absl::Duration wait) {
  if (wait < absl::ZeroDuration()) return 0;
  return static_cast<int>(absl::ToInt64Milliseconds(std::min(wait, absl::Minutes(1)))) + 1;
}

absl::Status PollWaker::Open() {
  event_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (event_.valid()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("cannot open an event descriptor: ", std::strerror(errno)));
}

void PollWaker::Wake() {
  // An owner whose Open() failed is destroyed like any other, and wakes a thread that never began.
  if (!event_.valid()) return;
  const uint64_t one = 1;
  // This fails only if the counter is full, and then the descriptor is readable as well.
  [[maybe_unused]] const ssize_t written = write(fd(), &one, sizeof(one));
}

void PollWaker::Clear() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = read(fd(), &count, sizeof(count));
}

}  // namespace pompc
