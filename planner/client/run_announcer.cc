#include "planner/client/run_announcer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "grpcpp/channel.h"
#include "proto/planner.grpc.pb.h"

namespace pompc::planner {
namespace {

// The most time that the end may take for all planners together.
constexpr absl::Duration kWithdrawal = absl::Seconds(4);
// The pause before a planner that could not be reached is asked again.
constexpr absl::Duration kAskAgain = absl::Milliseconds(200);

using Stub = proto::PlannerService::Stub;

}  // namespace

RunAnnouncer::RunAnnouncer(RunAnnouncerOptions options)
    : options_(std::move(options)), said_(options_.planners.size()) {
  POMPC_CHECK(!options_.planners.empty());
  POMPC_CHECK(!options_.run_id.empty() && !options_.learner.empty());
  for (const rpc::Endpoint& planner : options_.planners) channels_.push_back(planner.Channel());
  thread_ = Thread("announce-run", [this] { Run(); });
}

RunAnnouncer::~RunAnnouncer() {
  stop_.Set();
  thread_.Join();
}

void RunAnnouncer::Run() {
  do {
    Announce();
  } while (!stop_.WaitUntil(options_.clock, options_.clock->Now() + options_.renew));
  Withdraw();
}

void RunAnnouncer::Announce() {
  proto::FollowRequest request;
  *request.mutable_header() = rpc::MakeHeader(options_.run_id);
  request.set_learner(options_.learner);
  if (options_.demand) {
    if (const auto demand = options_.demand()) *request.mutable_demand() = *demand;
  }
  for (size_t i = 0; i < channels_.size() && !stop_.IsSet(); ++i) {
    const auto stub = proto::PlannerService::NewStub(channels_[i]);
    const absl::Status status =
        rpc::CallUnary(*stub, &Stub::Follow, request, options_.timeout).status();
    const std::string what = status.ok() ? "serves this run" : status.ToString();
    if (std::exchange(said_[i], what) == what) continue;
    Log().log(status.ok() ? spdlog::level::info : spdlog::level::warn, "planner {}: {}",
              options_.planners[i].address(), what);
  }
}

void RunAnnouncer::Withdraw() {
  proto::UnfollowRequest request;
  *request.mutable_header() = rpc::MakeHeader(options_.run_id);
  const absl::Duration deadline = options_.clock->Now() + kWithdrawal;
  for (size_t i = 0; i < channels_.size(); ++i) {
    const absl::Duration left = deadline - options_.clock->Now();
    if (left <= absl::ZeroDuration()) return;
    const auto stub = proto::PlannerService::NewStub(channels_[i]);
    // A planner that cannot be told drops the run once it needs the room.
    const absl::Status status =
        rpc::CallUnary(*stub, &Stub::Unfollow, request, std::min(left, options_.timeout)).status();
    if (!status.ok()) {
      Log().info("planner {}: {}", options_.planners[i].address(), status.ToString());
    }
  }
}

absl::StatusOr<proto::PlannerInfoReply> AwaitPlannerInfo(const rpc::Endpoint& planner,
                                                         absl::Duration give_up, Clock* clock) {
  proto::PlannerInfoRequest request;
  *request.mutable_header() = rpc::MakeHeader("");
  const auto stub = proto::PlannerService::NewStub(planner.Channel());
  const absl::Duration deadline = clock->Now() + give_up;
  while (true) {
    auto reply = rpc::CallUnary(*stub, &Stub::Info, request, absl::Seconds(2));
    const bool later =
        absl::IsUnavailable(reply.status()) || absl::IsDeadlineExceeded(reply.status());
    if (reply.ok() || !later || clock->Now() >= deadline) {
      if (reply.ok()) return reply;
      return Annotate(reply.status(), absl::StrCat("planner ", planner.address()));
    }
    Event().WaitUntil(clock, clock->Now() + kAskAgain);
  }
}

}  // namespace pompc::planner
