#ifndef POMPC_PARAMETERS_PARAMETER_SERVICE_H_
#define POMPC_PARAMETERS_PARAMETER_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/threads.h"
#include "common/values/parameter_version.h"
#include "parameters/publisher.h"
#include "proto/parameters.grpc.pb.h"
#include "proto/run.pb.h"

namespace pompc::parameters {

struct ParameterServiceOptions {
  // Subscribers to another run are refused.
  std::string run_id;
  // The most streams at a time; one more is refused with RESOURCE_EXHAUSTED.
  int max_subscribers = 256;
  Clock* clock = Clock::Real();
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
  static constexpr size_t kMaxLost = 16;
  static constexpr absl::Duration kForgetLost = absl::Minutes(10);

  struct Stats {
    // The planners that are connected now.
    std::vector<proto::PlannerStatus> subscribers;
    // The planners whose streams ended and that have not come back, the newest last: kMaxLost at
    // most, and none that has been gone for longer than kForgetLost.
    std::vector<proto::PlannerStatus> lost;
    uint64_t versions_sent = 0;
    uint64_t bytes_sent = 0;
  };

  // `publisher` must outlive the server this is registered with.
  ParameterService(Publisher* publisher, const ParameterServiceOptions& options);
  ~ParameterService() override;

  // Streams versions as proto/parameters.proto says. FAILED_PRECONDITION for another wire version
  // or run.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(grpc::CallbackServerContext* context,
                                                        const grpc::ByteBuffer* request) override;

  Stats stats() const;

 private:
  class Stream;
  struct Shared;

  // The stream that answers the request, admitted but not started. Statuses of Subscribe and Admit.
  absl::StatusOr<std::shared_ptr<Stream>> MakeStream(const std::string& peer,
                                                     const grpc::ByteBuffer& request);
  // Enters the stream into the list of subscribers. RESOURCE_EXHAUSTED when there are too many.
  absl::Status Admit(const Stream* stream, const std::string& name, const std::string& peer,
                     ParameterVersion have);

  Publisher* const publisher_;
  const ParameterServiceOptions options_;
  // Outlives the service until the last stream is gone.
  const std::shared_ptr<Shared> shared_;
};

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_PARAMETER_SERVICE_H_
