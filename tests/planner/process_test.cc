// Real planner processes: one that is stopped under load, one that comes back in the middle of a
// run, and what many runs cost in memory.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "planner/client/planner_client.h"
#include "proto/planner.grpc.pb.h"
#include "tests/planner/torch_snapshot.h"
#include "tests/support/await.h"

extern char** environ;

namespace pompc::planner {
namespace {

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr int kObservationSize = 5;
const std::string kAcceptRuns = "--accept-runs";

proto::RunConfig Config() {
  proto::RunConfig config;
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(kObservationSize);
  spec->set_action_size(1);
  config.mutable_model()->set_size("tiny");
  // The settings of presets/quickstart.textproto: a plan takes milliseconds.
  config.mutable_planner()->set_iterations(4);
  config.mutable_planner()->set_samples(128);
  config.mutable_planner()->set_policy_samples(8);
  config.mutable_planner()->set_elites(16);
  config.mutable_learner()->set_discount(0.98);
  return config;
}

// A run's broadcast at an address.
class Learner {
 public:
  Learner(const std::string& run_id, const proto::RunConfig& config,
          const std::string& listen = "127.0.0.1:0")
      : run_id_(run_id),
        snapshot_(TorchSnapshot(config, {1, 1}, /*seed=*/1)),
        service_(&publisher_, {.run_id = run_id}),
        server_(*rpc::Server::Start({.listen = listen}, {&service_})) {}
  ~Learner() { publisher_.Close(); }

  const std::string& run_id() const { return run_id_; }
  const std::string& address() const { return server_->address(); }
  uint64_t bytes() const { return snapshot_.data->size(); }
  parameters::ParameterService::Stats stats() const { return service_.stats(); }

  void Publish(uint64_t number, uint32_t keep_seconds = 0) {
    parameters::ParameterSnapshot snapshot = snapshot_;
    snapshot.description.set_run_id(run_id_);
    snapshot.description.mutable_version()->set_number(number);
    snapshot.description.set_keep_seconds(keep_seconds);
    publisher_.Publish(std::move(snapshot));
  }

 private:
  const std::string run_id_;
  const parameters::ParameterSnapshot snapshot_;
  parameters::Publisher publisher_;
  parameters::ParameterService service_;
  const std::unique_ptr<rpc::Server> server_;
};

// An address where nobody listens.
std::string FreeAddress() {
  return (*rpc::Server::Start({.listen = "127.0.0.1:0"}, {}))->address();
}

// Starts a program of the build.
pid_t Spawn(std::vector<std::string> words) {
  words[0] = POMPC_BINARY_DIR "/bin/" + words[0];
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  EXPECT_EQ(posix_spawn(&pid, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
  return pid;
}

// A pompc-planner with one thread.
class PlannerProcess {
 public:
  explicit PlannerProcess(const std::string& learners, const std::string& address = FreeAddress(),
                          const std::vector<std::string>& more = {})
      : address_(address), stub_(proto::PlannerService::NewStub(rpc::Endpoint(address).Channel())) {
    std::vector<std::string> words = {
        "pompc-planner",   "--listen", address,       "--learner", learners, "--threads", "1",
        "--drain-seconds", "60",       "--log-level", "warning"};
    words.insert(words.end(), more.begin(), more.end());
    pid_ = Spawn(std::move(words));
  }
  ~PlannerProcess() {
    if (pid_ != 0) Kill();
  }

  const std::string& address() const { return address_; }
  pid_t pid() const { return pid_; }

  void Kill() {
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, 0), nullptr, 0);
  }
  void Terminate() { kill(pid_, SIGTERM); }
  // Its exit status once it has ended.
  int Wait() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

  proto::PlannerService::Stub& stub() { return *stub_; }
  absl::StatusOr<proto::PlannerInfoReply> Info() {
    proto::PlannerInfoRequest request;
    *request.mutable_header() = rpc::MakeHeader("");
    return rpc::CallUnary(*stub_, &proto::PlannerService::Stub::Info, request, kLong);
  }
  // Blocks until it has parameters of so many runs.
  bool AwaitRuns(int runs) {
    return Await([&] {
      const auto info = Info();
      if (!info.ok()) return false;
      int serving = 0;
      for (const auto& run : info->runs()) serving += run.version().number() > 0 ? 1 : 0;
      return serving == runs;
    });
  }

 private:
  const std::string address_;
  const std::unique_ptr<proto::PlannerService::Stub> stub_;
  pid_t pid_ = 0;
};

proto::PlanRequest Request(const std::string& run_id, int queries) {
  proto::PlanRequest request;
  *request.mutable_header() = rpc::MakeHeader(run_id);
  for (int i = 0; i < queries; ++i) {
    proto::PlanQuery* query = request.add_queries();
    query->set_observation(ToBytes<float>(std::vector<float>(kObservationSize, 0.1f * i)));
    query->set_seed(i);
  }
  return request;
}

// Counts the answers to requests of several clients. Thread-safe.
class Answers {
 public:
  void Expect(int more) {
    MutexLock lock(&mu_);
    expected_ += more;
  }
  void Add(const absl::Status& status) {
    MutexLock lock(&mu_);
    ++answers_;
    EXPECT_TRUE(status.ok()) << status;
    changed_.SignalAll();
  }
  // Blocks until all are there; how many came, each request's once.
  int AwaitAll() {
    MutexLock lock(&mu_);
    while (answers_ < expected_) changed_.Wait(&mu_);
    return answers_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int expected_ ABSL_GUARDED_BY(mu_) = 0;
  int answers_ ABSL_GUARDED_BY(mu_) = 0;
};

// Requests that one planner has, and requests of a client that may choose: the first are planned
// where they wait, the others there or at the planner that stays.
TEST(PlannerProcessTest, SigtermUnderLoadLosesNoRequest) {
  constexpr int kDirect = 30, kFree = 60;
  Learner learner("run", Config());
  learner.Publish(1);
  PlannerProcess ends(learner.address()), stays(learner.address());
  ASSERT_TRUE(ends.AwaitRuns(1));
  ASSERT_TRUE(stays.AwaitRuns(1));
  Answers answers;
  struct Call {
    grpc::ClientContext context;
    proto::PlanRequest request = Request("run", 8);
    proto::PlanReply reply;
  };
  std::vector<std::unique_ptr<Call>> calls;
  answers.Expect(kDirect);
  for (int i = 0; i < kDirect; ++i) {
    Call& call = *calls.emplace_back(std::make_unique<Call>());
    call.context.set_deadline(rpc::DeadlineAfter(kLong));
    ends.stub().async()->Plan(
        &call.context, &call.request, &call.reply,
        [&](const grpc::Status& status) { answers.Add(rpc::FromGrpc(status)); });
  }
  // All have arrived: those that are not planned yet wait.
  ASSERT_TRUE(Await([&] {
    const auto info = ends.Info();
    return info.ok() && info->plans() + info->queued() + 1 >= 8u * kDirect;
  }));
  PlannerClient client({.planners = {rpc::Endpoint(ends.address()), rpc::Endpoint(stays.address())},
                        .run_id = "run"});
  answers.Expect(kFree);
  for (int i = 0; i < kFree; ++i) {
    client.Plan(Request("run", 1), kLong, [&](const absl::StatusOr<proto::PlanReply>& reply) {
      answers.Add(reply.status());
    });
    if (i == kFree / 2) ends.Terminate();
  }
  EXPECT_EQ(answers.AwaitAll(), kDirect + kFree);
  EXPECT_EQ(ends.Wait(), 0);
}

// The version that is current when it connects is the first that it has, whatever came before.
TEST(PlannerProcessTest, ARestartedPlannerServesTheNewestVersionFirst) {
  Learner learner("run", Config());
  learner.Publish(1, /*keep_seconds=*/1000);
  const std::string address = FreeAddress();
  auto planner = std::make_unique<PlannerProcess>(learner.address(), address);
  ASSERT_TRUE(planner->AwaitRuns(1));
  planner->Kill();
  ASSERT_TRUE(Await([&] { return learner.stats().subscribers.empty(); }));
  for (uint64_t number = 2; number <= 6; ++number) learner.Publish(number, 1000);
  const absl::Duration started = Clock::Real()->Now();
  planner = std::make_unique<PlannerProcess>(learner.address(), address);
  ASSERT_TRUE(Await([&] { return learner.stats().subscribers.size() == 1; }));
  const absl::Duration connected = Clock::Real()->Now();
  // Asked again and again, it never answers with an old version.
  absl::StatusOr<proto::PlanReply> reply;
  ASSERT_TRUE(Await([&] {
    reply = rpc::CallUnary(planner->stub(), &proto::PlannerService::Stub::Plan, Request("run", 1),
                           kLong);
    return reply.ok();
  })) << reply.status();
  const absl::Duration served = Clock::Real()->Now();
  EXPECT_EQ(reply->plans(0).version().number(), 6u);
  std::cout << "serves " << absl::FormatDuration(served - started) << " after its start, "
            << absl::FormatDuration(served - connected) << " after it reached the learner"
            << std::endl;
}

// The exit status of `pompc planner` with these words behind it.
int PompcPlanner(const std::string& words) {
  const std::string command = absl::StrCat(POMPC_BINARY_DIR "/bin/pompc planner ", words);
  return WEXITSTATUS(std::system(command.c_str()));
}

TEST(PlannerProcessTest, RunsAreNamedAndDroppedByTheCommand) {
  Learner host("host", Config()), guest("guest", Config());
  host.Publish(1);
  guest.Publish(2);
  PlannerProcess planner(host.address(), FreeAddress(), {kAcceptRuns});
  ASSERT_TRUE(planner.AwaitRuns(1));
  const std::string to = absl::StrCat(" --planners ", planner.address());
  EXPECT_EQ(PompcPlanner(absl::StrCat("follow", to, " --learner ", guest.address())), 0);
  ASSERT_TRUE(planner.AwaitRuns(2));
  const auto reply = rpc::CallUnary(planner.stub(), &proto::PlannerService::Stub::Plan,
                                    Request("guest", 1), kLong);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->plans(0).version().number(), 2u);
  EXPECT_EQ(PompcPlanner(absl::StrCat("runs", to)), 0);
  EXPECT_EQ(PompcPlanner(absl::StrCat("unfollow", to, " --run-id guest")), 0);
  EXPECT_EQ(planner.Info()->runs_size(), 1);
  EXPECT_EQ(PompcPlanner(absl::StrCat("unfollow", to, " --run-id host")), 1);
}

// A planner forgets at its end what Follow named. Whoever named it does so again.
TEST(PlannerProcessTest, ARunThatIsNamedAgainAndAgainComesBackWithThePlanner) {
  Learner host("host", Config()), guest("guest", Config());
  host.Publish(1);
  guest.Publish(2);
  const std::string address = FreeAddress();
  auto planner =
      std::make_unique<PlannerProcess>(host.address(), address, std::vector{kAcceptRuns});
  const pid_t follow = Spawn({"pompc", "planner", "follow", "--planners", address, "--learner",
                              guest.address(), "--renew-seconds", "1"});
  EXPECT_TRUE(planner->AwaitRuns(2));
  planner = nullptr;
  planner = std::make_unique<PlannerProcess>(host.address(), address, std::vector{kAcceptRuns});
  EXPECT_TRUE(planner->AwaitRuns(2));
  kill(follow, SIGKILL);
  waitpid(follow, nullptr, 0);
}

// Bytes of memory that a process holds.
uint64_t ResidentBytes(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  uint64_t pages = 0, resident = 0;
  statm >> pages >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST(PlannerProcessTest, TenRunsTakeTheMemoryOfTheirModels) {
  proto::RunConfig config = Config();
  config.mutable_model()->set_size("5M");
  std::vector<std::unique_ptr<Learner>> learners;
  std::string addresses;
  for (int i = 0; i < 10; ++i) {
    learners.push_back(std::make_unique<Learner>("run-" + std::to_string(i), config));
    addresses += (i == 0 ? "" : ",") + learners.back()->address();
  }
  const auto measure = [&](PlannerProcess& planner, int runs) {
    for (uint64_t number = 1; number <= 3; ++number) {
      for (int i = 0; i < runs; ++i) learners[i]->Publish(number + 10 * runs);
      EXPECT_TRUE(Await([&] {
        const auto info = planner.Info();
        if (!info.ok() || info->runs_size() < runs) return false;
        for (const auto& run : info->runs()) {
          if (run.version().number() != number + 10 * runs) return false;
        }
        return true;
      }));
    }
    for (int i = 0; i < runs; ++i) {
      EXPECT_TRUE(rpc::CallUnary(planner.stub(), &proto::PlannerService::Stub::Plan,
                                 Request(learners[i]->run_id(), 1), kLong)
                      .ok());
    }
    return ResidentBytes(planner.pid());
  };
  uint64_t one = 0, ten = 0;
  {
    PlannerProcess planner(learners[0]->address());
    one = measure(planner, 1);
  }
  {
    PlannerProcess planner(addresses);
    ten = measure(planner, 10);
  }
  // The parameters, packed for the kernels.
  const uint64_t model = learners[0]->bytes();
  std::cout << "a model: " << (model >> 20) << " MiB; one run: " << (one >> 20)
            << " MiB; ten runs: " << (ten >> 20) << " MiB" << std::endl;
  EXPECT_LT(static_cast<double>(ten), 1.3 * static_cast<double>(one + 10 * model));
}

}  // namespace
}  // namespace pompc::planner
