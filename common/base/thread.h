#ifndef POMPC_COMMON_BASE_THREAD_H_
#define POMPC_COMMON_BASE_THREAD_H_

#include <functional>
#include <string>
#include <thread>

namespace pompc {

// A named thread that its owner joins. Not thread-safe: one owner.
class Thread {
 public:
  Thread() = default;
  // Starts `body` under `name` (at most 15 characters show up in tools). The body must end by
  // itself when its owner tells it to; the destructor waits for it.
  Thread(std::string name, std::function<void()> body);
  Thread(Thread&&) = default;
  Thread& operator=(Thread&& other);
  ~Thread();

  // Waits until the body has returned. Idempotent.
  void Join();

 private:
  std::thread thread_;
};

// Returns how many cores this process may use, by its affinity and its container's share; at
// least 1.
int UsableCores();

}  // namespace pompc

#endif  // POMPC_COMMON_BASE_THREAD_H_
