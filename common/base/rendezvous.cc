#include "common/base/rendezvous.h"

#include "absl/strings/str_cat.h"

namespace pompc {

// The bounds protect the process that serves the table from clients that put without end.
absl::Status MemoryRendezvous::Put(const std::string& key, const std::string& value) {
  MutexLock lock(&mu_);
  const size_t bytes = key.size() + value.size();
  if (key.size() > kMaxBytes || value.size() > kMaxBytes || values_.size() >= kMaxValues ||
      bytes > kMaxTotalBytes - bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("at most ", kMaxValues, " values are held, of ", kMaxBytes,
                     " bytes each and of ", kMaxTotalBytes, " together"));
  }
  if (!values_.emplace(key, value).second) {
    return absl::AlreadyExistsError(absl::StrCat(key, " has been put already"));
  }
  bytes_ += bytes;
  changed_.SignalAll();
  return absl::OkStatus();
}

absl::StatusOr<std::string> MemoryRendezvous::Get(const std::string& key, absl::Duration timeout) {
  const absl::Duration deadline = clock_->Now() + timeout;
  MutexLock lock(&mu_);
  while (true) {
    const auto found = values_.find(key);
    if (found != values_.end()) return found->second;
    if (!clock_->WaitUntil(&changed_, &mu_, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat("nobody has put ", key));
    }
  }
}

}  // namespace pompc
