// Many simulated actors in one process, and the learner of a run with a tiny model. The planners
// are processes of their own, which a file lists; whoever runs this starts and ends them meanwhile.
//
// Each actor is a PlannerClient with connections of its own. It always has one request in flight,
// and asks again as soon as that is answered. Progress goes to standard output, a line "answered N"
// now and then, and at the end a line in JSON with what became of the requests.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "common/rpc/discovery.h"
#include "common/rpc/server.h"
#include "common/values/float_bytes.h"
#include "grpcpp/channel.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "planner/client/planner_client.h"
#include "planner/torch_engine.h"
#include "tests/planner/torch_snapshot.h"

namespace pompc::planner {
namespace {

constexpr int kObservationSize = 5, kActionSize = 2;
// Every so many requests, the plan is compared with one that is made here.
constexpr uint64_t kCompareEvery = 97;

struct Flags {
  std::string listen;
  std::string planners;
  int actors = 1000;
  // Requests of each actor; 0: for so many seconds.
  int rounds = 5;
  int seconds = 0;
  int timeout_seconds = 120;
  int max_queue = 1024;
  int samples = 16;
  int iterations = 1;
  double preference = EndpointPickerOptions().preference;
};

proto::RunConfig Config(const Flags& flags) {
  proto::RunConfig config;
  config.mutable_env()->mutable_spec()->set_observation_size(kObservationSize);
  config.mutable_env()->mutable_spec()->set_action_size(kActionSize);
  config.mutable_model()->set_size("tiny");
  proto::PlannerConfig* planner = config.mutable_planner();
  planner->set_horizon(3);
  planner->set_iterations(static_cast<uint32_t>(flags.iterations));
  planner->set_samples(static_cast<uint32_t>(flags.samples));
  planner->set_policy_samples(4);
  planner->set_elites(8);
  planner->set_max_queue(static_cast<uint32_t>(flags.max_queue));
  config.mutable_learner()->set_discount(0.98);
  return config;
}

// Everything in it follows from the request's number, which no other request has.
PlanItem ItemOf(uint64_t number) {
  PlanItem item;
  for (int i = 0; i < kObservationSize; ++i) {
    item.observation.push_back(std::sin(static_cast<float>(number % 10'007) * 0.37f + 1.7f * i));
  }
  item.seed = number + 1;
  item.evaluate = true;
  return item;
}

proto::PlanRequest ToRequest(const PlanItem& item) {
  proto::PlanRequest request;
  request.set_evaluate(item.evaluate);
  proto::PlanQuery* query = request.add_queries();
  query->set_observation(ToBytes<float>(item.observation));
  query->set_seed(item.seed);
  return request;
}

// What became of the requests. Thread-safe.
class Outcome {
 public:
  void Began() { ++begun_; }
  // `times` is how often this request was answered so far, this time included.
  void Ended(uint64_t number, int times, absl::Duration latency,
             const absl::StatusOr<proto::PlanReply>& reply) {
    MutexLock lock(&mu_);
    ++ended_;
    if (times > 1) ++twice_;
    if (reply.ok()) {
      latencies_.push_back(static_cast<float>(absl::ToDoubleMilliseconds(latency)));
      if (number % kCompareEvery == 0) sample_.emplace_back(number, reply->plans(0));
    } else {
      ++failed_;
      last_error_ = reply.status().ToString();
    }
    if (ended_ % 500 == 0) Say(absl::StrCat("answered ", ended_));
  }

  void Report(PlanEngine& engine, const PlannerModel& model, absl::Duration took) {
    MutexLock lock(&mu_);
    std::sort(latencies_.begin(), latencies_.end());
    const auto at = [this](double share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return latencies_.empty() ? 0
                                : latencies_[static_cast<size_t>((latencies_.size() - 1) * share)];
    };
    Say(absl::StrCat("{\"begun\": ", begun_.load(), ", \"ended\": ", ended_, ", \"twice\": ",
                     twice_, ", \"failed\": ", failed_, ", \"compared\": ", sample_.size(),
                     ", \"different\": ", Different(engine, model), ", \"p50_ms\": ", at(0.5),
                     ", \"p99_ms\": ", at(0.99), ", \"max_ms\": ", at(1),
                     ", \"seconds\": ", absl::ToDoubleSeconds(took), "}"));
    if (!last_error_.empty()) (void)std::fprintf(stderr, "%s\n", last_error_.c_str());
  }

 private:
  static void Say(const std::string& line) {
    (void)std::printf("%s\n", line.c_str());
    (void)std::fflush(stdout);
  }

  // Plans of the sample that are not those of their requests. Planned alone or in a batch, a number
  // differs in its last digits.
  int Different(PlanEngine& engine, const PlannerModel& model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    int different = 0;
    for (const auto& [number, plan] : sample_) {
      const PlanItem item = ItemOf(number);
      const PlanItem* const items[] = {&item};
      const auto mine = engine.PlanBatch(model, items);
      const auto theirs = FromBytes<float>(plan.action(), "action", kActionSize);
      bool same = mine.ok() && theirs.ok();
      for (int i = 0; same && i < kActionSize; ++i) {
        same = std::abs((*mine)[0].action[i] - (*theirs)[i]) < 1e-4f;
      }
      if (!same) ++different;
    }
    return different;
  }

  std::atomic<uint64_t> begun_{0};
  Mutex mu_;
  uint64_t ended_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t twice_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t failed_ ABSL_GUARDED_BY(mu_) = 0;
  std::string last_error_ ABSL_GUARDED_BY(mu_);
  std::vector<float> latencies_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<uint64_t, proto::Plan>> sample_ ABSL_GUARDED_BY(mu_);
};

// One actor. What it has asked for is known by its number: `index` + k * `actors`.
class Actor {
 public:
  Actor(uint64_t index, const Flags& flags, rpc::Discovery* planners, Outcome* outcome)
      : index_(index),
        flags_(flags),
        outcome_(outcome),
        client_(Options(index, flags)),
        watcher_(planners->Watch([this](const auto& list) { client_.SetPlanners(Own(list)); })) {}

  // Asks, and asks again, until the last round or, where there are none, until `end`.
  void Run(absl::Duration end, std::function<void()> done) {
    end_ = end;
    done_ = std::move(done);
    Ask();
  }

 private:
  void Ask() {
    const uint64_t number = index_ + round_++ * static_cast<uint64_t>(flags_.actors);
    auto times = std::make_shared<std::atomic<int>>(0);
    const absl::Duration asked = Clock::Real()->Now();
    outcome_->Began();
    client_.Plan(ToRequest(ItemOf(number)), absl::Seconds(flags_.timeout_seconds),
                 [this, number, times, asked](const absl::StatusOr<proto::PlanReply>& reply) {
                   const absl::Duration now = Clock::Real()->Now();
                   outcome_->Ended(number, ++*times, now - asked, reply);
                   const bool last = flags_.rounds > 0
                                         ? round_ == static_cast<uint64_t>(flags_.rounds)
                                         : now >= end_;
                   last ? done_() : Ask();
                 });
  }

  static PlannerClientOptions Options(uint64_t index, const Flags& flags) {
    PlannerClientOptions options = {.run_id = "run", .seed = index + 1};
    options.picker.preference = flags.preference;
    return options;
  }

  // The same planners, over connections that no other actor shares.
  std::vector<rpc::Endpoint> Own(const std::vector<rpc::Endpoint>& list) {
    std::vector<rpc::Endpoint> own;
    for (const rpc::Endpoint& endpoint : list) {
      rpc::Endpoint& mine = endpoints_[endpoint.address()];
      if (mine.empty()) {
        grpc::ChannelArguments args = rpc::MakeChannelArguments({});
        args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
        mine = rpc::Endpoint(grpc::CreateCustomChannel(endpoint.address(),
                                                       grpc::InsecureChannelCredentials(), args));
      }
      own.push_back(mine);
    }
    return own;
  }

  const uint64_t index_;
  const Flags& flags_;
  Outcome* const outcome_;
  std::map<std::string, rpc::Endpoint> endpoints_;
  uint64_t round_ = 0;
  absl::Duration end_;
  std::function<void()> done_;
  PlannerClient client_;
  const std::unique_ptr<rpc::Discovery::Watcher> watcher_;
};

absl::Status Main(const Flags& flags) {
  POMPC_RETURN_IF_ERROR(SetUpLogging({.level = "error"}));
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  const parameters::ParameterSnapshot snapshot = TorchSnapshot(Config(flags), {1, 1}, 1);
  POMPC_ASSIGN_OR_RETURN(const auto engine, MakeTorchEngine({.device = "cpu", .threads = 1}));
  POMPC_ASSIGN_OR_RETURN(const auto model, engine->Load(snapshot));
  parameters::Publisher publisher;
  parameters::ParameterService service(&publisher, {.run_id = "run"});
  POMPC_ASSIGN_OR_RETURN(const auto server,
                         rpc::Server::Start({.listen = flags.listen}, {&service}));
  publisher.Publish(snapshot);

  POMPC_ASSIGN_OR_RETURN(auto places, rpc::ParsePlaces("--planners", flags.planners));
  rpc::Discovery planners(std::move(places),
                          {.service = "planner", .interval = absl::Milliseconds(200)});
  Outcome outcome;
  std::vector<std::unique_ptr<Actor>> actors;
  for (int i = 0; i < flags.actors; ++i) {
    actors.push_back(std::make_unique<Actor>(static_cast<uint64_t>(i), flags, &planners, &outcome));
  }
  Event done;
  std::atomic<int> left{flags.actors};
  const absl::Duration start = Clock::Real()->Now();
  for (const auto& actor : actors) {
    actor->Run(start + absl::Seconds(flags.seconds), [&] {
      if (--left == 0) done.Set();
    });
  }
  done.Wait();
  const absl::Duration took = Clock::Real()->Now() - start;
  actors.clear();
  outcome.Report(*engine, *model, took);
  publisher.Close();
  return absl::OkStatus();
}

int Run(int argc, char** argv) {
  CLI::App app("Many simulated actors against a fleet of planners.");
  Flags flags;
  app.add_option("--listen", flags.listen, "where planners find the learner")->required();
  app.add_option("--planners", flags.planners, "as pompc-actor")->required();
  app.add_option("--actors", flags.actors, "actors");
  app.add_option("--rounds", flags.rounds, "requests of each actor; 0: for --seconds");
  app.add_option("--seconds", flags.seconds, "how long actors ask");
  app.add_option("--timeout", flags.timeout_seconds, "deadline of a request, in seconds");
  app.add_option("--max-queue", flags.max_queue, "planner.max_queue");
  app.add_option("--samples", flags.samples, "planner.samples");
  app.add_option("--iterations", flags.iterations, "planner.iterations");
  app.add_option("--preference", flags.preference,
                 "EndpointPickerOptions::preference; 0: all planners alike");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Main(flags);
  if (!status.ok()) (void)std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace pompc::planner

int main(int argc, char** argv) {
  return pompc::RunProgram("fleet-load", [&] { return pompc::planner::Run(argc, argv); });
}
