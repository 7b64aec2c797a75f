#ifndef POMPC_TESTS_RPC_ECHO_SERVICE_H_
#define POMPC_TESTS_RPC_ECHO_SERVICE_H_

#include <atomic>
#include <string>

#include "common/base/retry.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "proto/replay.grpc.pb.h"

namespace pompc::rpc {

// Stands in for a service, with the calls of the replay. Info answers shard_index 7, and by run id:
// "bad" an error, "full" another one with a hint, "never" nothing before Release(). Append answers
// each chunk with its first_row.
class EchoService : public proto::ReplayService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                 const proto::InfoRequest* request,
                                 proto::ShardInfo* reply) override {
    if (request->header().run_id() == "bad") {
      return FinishUnary(context, absl::InvalidArgumentError("observation[2] is nan"));
    }
    if (request->header().run_id() == "full") {
      return FinishUnary(
          context, WithRetryAfter(absl::ResourceExhaustedError("full"), absl::Milliseconds(30)));
    }
    if (request->header().run_id() == "never") {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      held_ = reactor;
      call_held_.Set();
      return reactor;
    }
    ++infos_;
    reply->set_shard_index(7);
    return FinishUnary(context, absl::OkStatus());
  }

  grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply>* Append(
      grpc::CallbackServerContext* context) override {
    return new Echo(this);
  }

  // Finishes the call held last.
  void Release() {
    if (grpc::ServerUnaryReactor* reactor = held_.exchange(nullptr)) {
      reactor->Finish(grpc::Status::OK);
    }
  }

  // Set when a call is held.
  Event& call_held() { return call_held_; }

  // Calls of Info that were answered.
  int infos() const { return infos_; }
  int open_streams() const { return open_streams_; }
  // Set when a stream was cancelled or its client vanished.
  Event& stream_lost() { return stream_lost_; }

 private:
  class Echo : public grpc::ServerBidiReactor<proto::AppendRequest, proto::AppendReply> {
   public:
    explicit Echo(EchoService* service) : service_(service) {
      ++service_->open_streams_;
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) return FinishOnce(grpc::Status::OK);
      reply_.set_next_row(request_.first_row());
      StartWrite(&reply_);
    }
    void OnWriteDone(bool ok) override {
      if (ok) StartRead(&request_);
    }
    void OnCancel() override {
      service_->stream_lost_.Set();
      FinishOnce(grpc::Status::CANCELLED);
    }
    void OnDone() override {
      --service_->open_streams_;
      delete this;
    }

   private:
    void FinishOnce(const grpc::Status& status) {
      if (!finished_.exchange(true)) Finish(status);
    }

    EchoService* const service_;
    std::atomic<bool> finished_ = false;
    proto::AppendRequest request_;
    proto::AppendReply reply_;
  };

  std::atomic<grpc::ServerUnaryReactor*> held_ = nullptr;
  std::atomic<int> infos_ = 0;
  std::atomic<int> open_streams_ = 0;
  Event call_held_;
  Event stream_lost_;
};

}  // namespace pompc::rpc

#endif  // POMPC_TESTS_RPC_ECHO_SERVICE_H_
