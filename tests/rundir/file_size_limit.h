#ifndef POMPC_TESTS_RUNDIR_FILE_SIZE_LIMIT_H_
#define POMPC_TESTS_RUNDIR_FILE_SIZE_LIMIT_H_

#include <sys/resource.h>

#include <csignal>
#include <cstddef>

namespace pompc {

// While it lives, files of this process cannot grow beyond so many bytes: writes then fail as on a
// full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(size_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_;
  void (*handler_)(int);
};

}  // namespace pompc

#endif  // POMPC_TESTS_RUNDIR_FILE_SIZE_LIMIT_H_
