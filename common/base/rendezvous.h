#ifndef POMPC_COMMON_BASE_RENDEZVOUS_H_
#define POMPC_COMMON_BASE_RENDEZVOUS_H_

#include <cstddef>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"

namespace pompc {

// Where processes that start together tell each other how they are reached: values by key, each put
// once. Thread-safe.
class Rendezvous {
 public:
  virtual ~Rendezvous() = default;
  // ALREADY_EXISTS when the key has a value.
  virtual absl::Status Put(const std::string& key, const std::string& value) = 0;
  // Waits for the key: DEADLINE_EXCEEDED when nobody has put it within `timeout`.
  virtual absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) = 0;
};

// In memory: for threads, and behind the service of the process that all others reach.
class MemoryRendezvous : public Rendezvous {
 public:
  // Most values, and bytes of a key or value; beyond them Put gives RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxValues = 100000;
  static constexpr size_t kMaxBytes = size_t{1} << 16;

  explicit MemoryRendezvous(Clock* clock = Clock::Real()) : clock_(clock) {}

  absl::Status Put(const std::string& key, const std::string& value) override;
  absl::StatusOr<std::string> Get(const std::string& key, absl::Duration timeout) override;

 private:
  Clock* const clock_;
  Mutex mu_;
  CondVar changed_;
  std::map<std::string, std::string> values_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_RENDEZVOUS_H_
