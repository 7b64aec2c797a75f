#include "actor/actor_worker.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/process/log.h"

namespace pompc::actor {

ActorWorker::ActorWorker(const ActorWorkerOptions& options, EnvironmentFactory factory,
                         ActorStats* stats, Clock* clock)
    : options_(options), factory_(std::move(factory)), stats_(stats), clock_(clock) {}

absl::Status ActorWorker::Run() {
  while (true) {
    const std::shared_ptr<const proto::RegisterReply> lease = AwaitLease();
    if (lease == nullptr) break;
    SessionOptions options = {.lease = *lease,
                              .planners = options_.planners,
                              .replay = options_.replay,
                              .threads = options_.threads,
                              .turns = options_.turns};
    POMPC_ASSIGN_OR_RETURN(std::shared_ptr<Session> session,
                           Session::Make(options, factory_, stats_, clock_));
    {
      MutexLock lock(&mu_);
      session_ = session;
      lease_ = lease;
      Follow();
    }
    Log().info("actor {}, incarnation {}: {} environments", lease->index(), lease->incarnation(),
               lease->shards_size());
    const absl::Status status = session->Run();
    bool flush = false;
    {
      MutexLock lock(&mu_);
      session_ = nullptr;
      if (!status.ok() && !done()) return status;
      flush = stopped_ && !news_.over() && news_.registration == lease;
    }
    const absl::Status flushed = flush ? session->Flush(options_.flush_timeout) : absl::OkStatus();
    if (!flushed.ok()) Log().info("rows left behind: {}", flushed.ToString());
  }
  MutexLock lock(&mu_);
  return stopped_ ? absl::OkStatus() : news_.error;
}

std::shared_ptr<const proto::RegisterReply> ActorWorker::AwaitLease() {
  MutexLock lock(&mu_);
  while (!done() && news_.registration == nullptr) changed_.Wait(&mu_);
  return done() ? nullptr : news_.registration;
}

void ActorWorker::OnNews(const run::RunClient::News& news) {
  MutexLock lock(&mu_);
  news_ = news;
  Follow();
}

void ActorWorker::Stop() {
  MutexLock lock(&mu_);
  stopped_ = true;
  Follow();
}

void ActorWorker::Follow() {
  changed_.SignalAll();
  if (session_ == nullptr) return;
  if (done() || news_.registration != lease_) {
    session_->Stop();
  } else {
    session_->SetPhase(news_.phase);
  }
}

std::string ActorWorker::Waiting() {
  std::shared_ptr<Session> session;
  {
    MutexLock lock(&mu_);
    session = session_;
  }
  return session == nullptr ? "" : session->Waiting();
}

}  // namespace pompc::actor
