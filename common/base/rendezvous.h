#ifndef POMPC_COMMON_BASE_RENDEZVOUS_H_
#define POMPC_COMMON_BASE_RENDEZVOUS_H_

#include <cstddef>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"

namespace pompc {

// A table of values by key through which processes that start together exchange their addresses.
// Each key is put once. Thread-safe.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  // Sets the key's value. Fails with ALREADY_EXISTS if the key has one.
  virtual absl::Status Put(const std::string& key, const std::string& value) = 0;
  // Waits for the key and returns its value. Fails with DEADLINE_EXCEEDED after `timeout`.
  virtual absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) = 0;
};

// A rendezvous in memory, for threads, and behind the service of the process that all others reach.
class MemoryRendezvous : public Rendezvous {
 public:
  // The most values, the most bytes of a key or value, and the most bytes of all of them together.
  // Put refuses more with RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxValues = 100000;
  static constexpr size_t kMaxBytes = size_t{1} << 16;
  static constexpr size_t kMaxTotalBytes = size_t{64} << 20;

  explicit MemoryRendezvous(Clock* clock = Clock::Real()) : clock_(clock) {}

  absl::Status Put(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) override;

 private:
  Clock* const clock_;
  Mutex mu_;
  CondVar changed_;
  std::map<std::string, std::string> values_ ABSL_GUARDED_BY(mu_);
  // Bytes of the keys and values.
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_RENDEZVOUS_H_
