#include "planner/run_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/process/freed_memory.h"
#include "common/process/log.h"

namespace pompc::planner {
namespace {

constexpr size_t kMostIdBytes = 256;
// Runs that an error names. All of 256 might be more than a client takes: gRPC's bound on the
// message of a status is 8 KiB, beyond which the client gets RESOURCE_EXHAUSTED in its place.
constexpr size_t kMostNamed = 16;

// `here` are the quoted ids of the runs that are served.
std::string NotServed(const std::string& run_id, std::vector<std::string> here) {
  const size_t others = here.size() - std::min(here.size(), kMostNamed);
  here.resize(here.size() - others);
  return absl::StrCat("the planner does not serve run \"", run_id, "\"; it serves ",
                      here.empty() ? "none" : absl::StrJoin(here, ", "),
                      others > 0 ? absl::StrCat(" and ", others, " others") : "");
}

}  // namespace

absl::Status CheckRunId(absl::string_view run_id) {
  if (run_id.size() > kMostIdBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the run's id has ", run_id.size(),
                                                   " bytes; allowed are at most ", kMostIdBytes));
  }
  const auto control = std::find_if(run_id.begin(), run_id.end(),
                                    [](unsigned char byte) { return byte < 32 || byte == 127; });
  if (control == run_id.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("byte ", control - run_id.begin(), " of the run's id is a control character"));
}

// The table's mutex guards all but the constants.
struct RunTable::Follower {
  Follower(rpc::Endpoint endpoint, Origin from) : learner(std::move(endpoint)), origin(from) {}

  const rpc::Endpoint learner;
  const Origin origin;
  std::string run_id;
  std::shared_ptr<PlannerRun> run;
  // When a request for the run came last, and when the learner was last there.
  absl::Duration used;
  absl::Duration connected;
  // What its run wants of actors, and when it said so.
  std::optional<proto::ActorDemand> demand;
  absl::Duration demanded;
  // In the table's list.
  bool listed = true;
  std::unique_ptr<parameters::ParameterSubscriber> subscriber;
};

RunTable::RunTable(RunTableOptions options) : options_(std::move(options)) {
  POMPC_CHECK(options_.load != nullptr);
  POMPC_CHECK_GE(options_.max_runs, 1u);
  MutexLock lock(&join_mu_);
  thread_ = Thread("planner-runs", [this] { Run(); });
}

RunTable::~RunTable() { Close(); }

absl::Status RunTable::Follow(const rpc::Endpoint& learner, const std::string& run_id,
                              Origin origin, std::optional<proto::ActorDemand> demand) {
  POMPC_CHECK(!learner.empty());
  POMPC_CHECK_OK(CheckRunId(run_id));
  MutexLock lock(&mu_);
  if (closed_) return absl::CancelledError("the planner is stopping");
  const absl::Duration now = options_.clock->Now();
  if (origin == Origin::kGuest) {
    if (!options_.accept_guests) {
      return absl::FailedPreconditionError(
          "the planner serves the runs that it was started with: start it with --accept-runs to "
          "have it follow others");
    }
    for (const FollowerPtr& follower : followers_) {
      if (!Follows(*follower, learner, run_id)) continue;
      follower->used = follower->demanded = now;
      follower->demand = std::move(demand);
      return absl::OkStatus();
    }
  }
  const auto follower = std::make_shared<Follower>(learner, origin);
  follower->run_id = run_id;
  follower->used = follower->connected = follower->demanded = now;
  follower->demand = std::move(demand);
  // The learner of a run that is here has moved, or was given up.
  if (const FollowerPtr old = run_id.empty() ? nullptr : FindFollower(run_id)) {
    if (old->origin == Origin::kHost) {
      return absl::FailedPreconditionError(absl::StrCat("run \"", run_id, "\" is followed at ",
                                                        old->learner.address(), " (--learner)"));
    }
    follower->run = old->run;
    Drop(old);
  }
  POMPC_RETURN_IF_ERROR(MakeRoom());
  followers_.push_back(follower);
  follower->subscriber = Subscribe(follower);
  Log().info("following the learner at {}", learner.address());
  return absl::OkStatus();
}

bool RunTable::Follows(const Follower& follower, const rpc::Endpoint& learner,
                       const std::string& run_id) {
  if (follower.learner.address() != learner.address()) return false;
  if (follower.subscriber == nullptr) return false;
  if (follower.run_id.empty() || follower.run_id == run_id) return true;
  // Who is there now may be of another run than who was there before.
  return run_id.empty() && follower.subscriber->status().connected;
}

std::unique_ptr<parameters::ParameterSubscriber> RunTable::Subscribe(const FollowerPtr& follower) {
  parameters::ParameterSubscriberOptions subscriber;
  subscriber.learner = follower->learner;
  subscriber.run_id = follower->run_id;
  subscriber.name = options_.name;
  subscriber.clock = options_.clock;
  subscriber.backoff = options_.backoff;
  subscriber.seed = options_.seed;
  subscriber.wrong_peer_timeout = options_.wrong_peer_timeout;
  // The subscriber is ended before the table, so that these may refer to it; they hold the follower
  // because it may leave the list meanwhile.
  subscriber.on_wrong_peer = [this, follower](const absl::Status& status) {
    OnWrongPeer(*follower, status);
  };
  return std::make_unique<parameters::ParameterSubscriber>(
      subscriber, [this, follower](const parameters::ParameterSnapshot& snapshot) {
        return Take(*follower, snapshot);
      });
}

absl::Status RunTable::MakeRoom() {
  if (followers_.size() < options_.max_runs) return absl::OkStatus();
  const absl::Duration now = options_.clock->Now();
  FollowerPtr oldest;
  for (const FollowerPtr& follower : followers_) {
    if (follower->origin == Origin::kHost || now - follower->used < options_.in_use) continue;
    if (oldest == nullptr || follower->used < oldest->used) oldest = follower;
  }
  if (oldest == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the planner serves ", followers_.size(), " runs, the most it may (--max-runs), and all ",
        "were asked for within ", absl::FormatDuration(options_.in_use)));
  }
  Log().info("dropping run \"{}\" of the learner at {}: not asked for since {}", oldest->run_id,
             oldest->learner.address(),
             absl::FormatDuration(absl::Trunc(now - oldest->used, absl::Seconds(1))));
  Drop(oldest);
  return absl::OkStatus();
}

void RunTable::Drop(const FollowerPtr& follower) {
  followers_.erase(std::find(followers_.begin(), followers_.end(), follower));
  follower->listed = false;
  if (follower->subscriber != nullptr) ended_.push_back(std::move(follower->subscriber));
  changed_.SignalAll();
}

absl::Status RunTable::Take(Follower& follower, const parameters::ParameterSnapshot& snapshot) {
  POMPC_RETURN_IF_ERROR(CheckRunId(snapshot.description.run_id()));
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<const PlannerModel> model, options_.load(snapshot));
  const std::shared_ptr<PlannerRun> run = Adopt(follower, snapshot.description.run_id());
  if (run == nullptr) return absl::OkStatus();
  // Whoever is told of the run must find its parameters.
  const bool first = run->parameters().Newest() == nullptr;
  run->parameters().Put(std::move(model), absl::Seconds(snapshot.description.keep_seconds()));
  if (first && options_.on_first) options_.on_first(snapshot);
  CountTaken(snapshot.data->size());
  return absl::OkStatus();
}

std::shared_ptr<PlannerRun> RunTable::Adopt(Follower& follower, const std::string& run_id) {
  MutexLock lock(&mu_);
  if (!follower.listed || follower.run != nullptr) return follower.listed ? follower.run : nullptr;
  // The learner may have moved here from another address.
  for (const FollowerPtr& other : std::vector<FollowerPtr>(followers_)) {
    if (other.get() == &follower || other->run_id != run_id) continue;
    if (other->origin == Origin::kHost && follower.origin == Origin::kGuest) {
      // Whoever may call Follow must not replace the parameters of a run of --learner.
      Log().error(
          "the learner at {} says that its run is {}, which is followed at an address of "
          "--learner: not followed any more",
          follower.learner.address(), run_id);
      DropCaller(follower);
      return nullptr;
    }
    if (other->run != nullptr) follower.run = other->run;
    if (other->origin == Origin::kGuest) Drop(other);
  }
  follower.run_id = run_id;
  if (follower.run == nullptr) {
    follower.run = std::make_shared<PlannerRun>(run_id, options_.clock, options_.max_kept_versions);
  }
  return follower.run;
}

// A version takes several times its size while it is loaded, and each learner's thread has a heap
// of its own that keeps what it freed. With many runs that would be more than all models together.
// The table's thread returns it a moment later, when the version as it came is freed as well.
void RunTable::CountTaken(uint64_t bytes) {
  constexpr uint64_t kReturnEvery = 16 << 20;
  MutexLock lock(&mu_);
  taken_bytes_ += bytes;
  if (followers_.size() < 2 || taken_bytes_ < kReturnEvery) return;
  taken_bytes_ = 0;
  return_memory_at_ = std::min(return_memory_at_, options_.clock->Now() + absl::Milliseconds(200));
  changed_.SignalAll();
}

void RunTable::OnWrongPeer(Follower& follower, const absl::Status& status) {
  if (follower.origin == Origin::kHost) {
    if (options_.on_wrong_peer) options_.on_wrong_peer(status);
    return;
  }
  Log().error("{}", std::string(status.message()));
  MutexLock lock(&mu_);
  DropCaller(follower);
}

void RunTable::DropCaller(const Follower& follower) {
  const auto listed = std::find_if(followers_.begin(), followers_.end(),
                                   [&](const FollowerPtr& f) { return f.get() == &follower; });
  if (listed != followers_.end()) Drop(FollowerPtr(*listed));
}

RunTable::FollowerPtr RunTable::FindFollower(const std::string& run_id) const {
  for (const FollowerPtr& follower : followers_) {
    if (follower->run_id == run_id) return follower;
  }
  return nullptr;
}

absl::Status RunTable::Unfollow(const std::string& run_id) {
  MutexLock lock(&mu_);
  const FollowerPtr follower = FindFollower(run_id);
  if (follower == nullptr || run_id.empty()) {
    return absl::NotFoundError(NotServed(run_id, RunsHere()));
  }
  if (follower->origin == Origin::kHost) {
    return absl::FailedPreconditionError(absl::StrCat(
        "run \"", run_id, "\" is of the learner that the planner was started with (--learner)"));
  }
  Log().info("dropping run \"{}\" of the learner at {}", run_id, follower->learner.address());
  Drop(follower);
  return absl::OkStatus();
}

std::vector<std::string> RunTable::RunsHere() const {
  std::vector<std::string> here;
  for (const FollowerPtr& follower : followers_) {
    if (follower->run != nullptr) here.push_back(absl::StrCat("\"", follower->run_id, "\""));
  }
  return here;
}

absl::StatusOr<std::shared_ptr<PlannerRun>> RunTable::Find(const std::string& run_id) {
  MutexLock lock(&mu_);
  bool may_come = options_.accept_guests;
  for (const FollowerPtr& follower : followers_) {
    if (follower->run_id == run_id) {
      follower->used = options_.clock->Now();
      if (follower->run != nullptr) return follower->run;
    }
    if (follower->run == nullptr) may_come = true;
  }
  const std::vector<std::string> here = RunsHere();
  if (here.empty()) return absl::UnavailableError("the planner has no parameters yet");
  const std::string message = NotServed(run_id, here);
  return may_come ? absl::NotFoundError(message) : absl::FailedPreconditionError(message);
}

std::vector<RunTable::Entry> RunTable::List() const {
  MutexLock lock(&mu_);
  std::vector<Entry> entries;
  for (const FollowerPtr& follower : followers_) {
    Entry& entry = entries.emplace_back();
    entry.learner = follower->learner.address();
    entry.run_id = follower->run_id;
    entry.run = follower->run;
    entry.followed = follower->subscriber != nullptr;
    if (entry.followed) entry.status = follower->subscriber->status();
    const absl::Duration age = options_.clock->Now() - follower->demanded;
    if (age <= options_.demand_lasts) entry.demand = follower->demand;
  }
  return entries;
}

bool RunTable::HasParameters() const {
  MutexLock lock(&mu_);
  return std::any_of(followers_.begin(), followers_.end(), [](const FollowerPtr& follower) {
    return follower->run != nullptr && follower->run->parameters().Newest() != nullptr;
  });
}

void RunTable::Sweep() {
  MutexLock lock(&mu_);
  const absl::Duration now = options_.clock->Now();
  for (const FollowerPtr& follower : std::vector<FollowerPtr>(followers_)) {
    if (follower->origin == Origin::kHost || follower->subscriber == nullptr) continue;
    if (follower->subscriber->status().connected) follower->connected = now;
    if (now - follower->connected < options_.give_up_after) continue;
    Log().warn("the learner at {} has been gone for {}; it is followed no more",
               follower->learner.address(), absl::FormatDuration(options_.give_up_after));
    if (follower->run == nullptr) {
      Drop(follower);
    } else {
      // Its run can be served until there is need of the room.
      ended_.push_back(std::move(follower->subscriber));
      changed_.SignalAll();
    }
  }
}

void RunTable::Run() {
  absl::Duration next_sweep = options_.clock->Now() + options_.give_up_after / 10;
  while (true) {
    std::vector<std::unique_ptr<parameters::ParameterSubscriber>> ended;
    bool return_memory = false;
    {
      MutexLock lock(&mu_);
      const auto due = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return std::min(next_sweep, return_memory_at_);
      };
      while (ended_.empty() && !closed_ && options_.clock->Now() < due())
        options_.clock->WaitUntil(&changed_, &mu_, due());
      if (closed_) return;
      ended.swap(ended_);
      return_memory = return_memory_at_ <= options_.clock->Now();
      if (return_memory) return_memory_at_ = absl::InfiniteDuration();
    }
    // Without the lock, which the subscribers' threads take before they end.
    ended.clear();
    Sweep();
    next_sweep = options_.clock->Now() + options_.give_up_after / 10;
    if (return_memory) ReturnFreedMemory();
  }
}

void RunTable::Close() {
  std::vector<std::unique_ptr<parameters::ParameterSubscriber>> ended;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    changed_.SignalAll();
    ended.swap(ended_);
    for (const FollowerPtr& follower : followers_) {
      if (follower->subscriber != nullptr) ended.push_back(std::move(follower->subscriber));
    }
  }
  ended.clear();
  MutexLock lock(&join_mu_);
  thread_.Join();
}

}  // namespace pompc::planner
