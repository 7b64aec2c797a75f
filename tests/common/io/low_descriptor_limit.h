#ifndef POMPC_TESTS_COMMON_IO_LOW_DESCRIPTOR_LIMIT_H_
#define POMPC_TESTS_COMMON_IO_LOW_DESCRIPTOR_LIMIT_H_

#include <sys/resource.h>

namespace pompc {

// Lowers the limit of open file descriptors of this process while it lives. At most one exists at a
// time.
class LowDescriptorLimit {
 public:
  explicit LowDescriptorLimit(int limit) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit lowered = before_;
    lowered.rlim_cur = static_cast<rlim_t>(limit);
    setrlimit(RLIMIT_NOFILE, &lowered);
  }
  ~LowDescriptorLimit() { setrlimit(RLIMIT_NOFILE, &before_); }
  LowDescriptorLimit(const LowDescriptorLimit&) = delete;
  LowDescriptorLimit& operator=(const LowDescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace pompc

#endif  // POMPC_TESTS_COMMON_IO_LOW_DESCRIPTOR_LIMIT_H_
