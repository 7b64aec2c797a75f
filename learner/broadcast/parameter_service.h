#ifndef POMPC_LEARNER_BROADCAST_PARAMETER_SERVICE_H_
#define POMPC_LEARNER_BROADCAST_PARAMETER_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "learner/broadcast/publisher.h"
#include "proto/parameters.grpc.pb.h"

namespace pompc::learner {

struct ParameterServiceOptions {
  // Subscribers to another run are refused.
  std::string run_id;
  // One more stream is refused with RESOURCE_EXHAUSTED.
  int max_subscribers = 256;
};

// Sends what `publisher` holds to its subscribers: a description, then the bytes in messages of at
// most 1 MiB, without copying the data (the messages of all streams refer to the one snapshot). One
// write is in flight per stream; a subscriber that reads slowly skips to the newest version.
// Streams use the callback API and hold no threads; they end with UNAVAILABLE when the publisher
// closes. Thread-safe.
class ParameterService final : public proto::ParameterService::WithRawCallbackMethod_Subscribe<
                                   proto::ParameterService::Service> {
 public:
  // Bytes of parameters in one message.
  static constexpr size_t kChunkBytes = size_t{1} << 20;

  struct Stats {
    // Names of the subscribers connected now.
    std::vector<std::string> subscribers;
    uint64_t versions_sent = 0;
    uint64_t bytes_sent = 0;
  };

  // `publisher` must outlive the server this is registered with.
  ParameterService(Publisher* publisher, const ParameterServiceOptions& options);
  ~ParameterService() override;

  // As proto/parameters.proto says. FAILED_PRECONDITION for another wire version or run.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) override;

  Stats stats() const;

 private:
  class Stream;
  struct Shared;

  // Enters the stream into the list of subscribers. RESOURCE_EXHAUSTED when there are too many.
  absl::Status Admit(const Stream* stream, const std::string& name);

  Publisher* const publisher_;
  const ParameterServiceOptions options_;
  // Outlives the service until the last stream is gone.
  const std::shared_ptr<Shared> shared_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_BROADCAST_PARAMETER_SERVICE_H_
