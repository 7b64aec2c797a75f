#include "common/rpc/discovery.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/rpc/echo_service.h"
#include "tests/support/await.h"

namespace pompc::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Addresses(const std::vector<Endpoint>& endpoints) {
  std::vector<std::string> addresses;
  for (const Endpoint& endpoint : endpoints) addresses.push_back(endpoint.address());
  return addresses;
}

// Name servers of the test's own. Thread-safe.
class Names {
 public:
  void Set(const std::string& host, absl::StatusOr<std::vector<std::string>> addresses) {
    MutexLock lock(&mu_);
    hosts_[host] = std::move(addresses);
  }
  HostLookUp look_up() {
    return [this](const std::string& host) -> absl::StatusOr<std::vector<std::string>> {
      MutexLock lock(&mu_);
      ++lookups_;
      const auto it = hosts_.find(host);
      if (it == hosts_.end()) return absl::UnavailableError(absl::StrCat("no host ", host));
      return it->second;
    };
  }
  int lookups() const {
    MutexLock lock(&mu_);
    return lookups_;
  }

 private:
  mutable Mutex mu_;
  std::map<std::string, absl::StatusOr<std::vector<std::string>>> hosts_ ABSL_GUARDED_BY(mu_);
  int lookups_ ABSL_GUARDED_BY(mu_) = 0;
};

// Notes by which name it was called.
class NamedService : public EchoService {
 public:
  grpc::ServerUnaryReactor* Info(grpc::CallbackServerContext* context,
                                 const proto::InfoRequest* request,
                                 proto::ShardInfo* reply) override {
    const grpc::string_ref name = context->ExperimentalGetAuthority();
    authority_ = std::string(name.data(), name.size());
    return EchoService::Info(context, request, reply);
  }
  // After the call has returned.
  const std::string& authority() const { return authority_; }

 private:
  std::string authority_;
};

class DiscoveryTest : public ::testing::Test {
 protected:
  void Write(const std::string& text) { std::ofstream(path_) << text; }
  ~DiscoveryTest() override { std::filesystem::remove(path_); }

  Names names_;
  const std::string path_ =
      absl::StrCat(::testing::TempDir(), "/planners.", getpid(), ".",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(DiscoveryTest, PlacesAreAddressesNamesAndFiles) {
  const auto places = ParsePlaces(
      "--planners", "10.0.0.1:7, [::1]:7,planner:7,dns:///other:8,unix:/s,@/a/b,file:c");
  ASSERT_TRUE(places.ok()) << places.status();
  std::vector<std::string> endpoints, names, files;
  for (const Place& place : *places) {
    if (place.kind == Place::Kind::kEndpoint) endpoints.push_back(place.endpoint.address());
    if (place.kind == Place::Kind::kName) names.push_back(place.text);
    if (place.kind == Place::Kind::kFile) files.push_back(place.text);
  }
  EXPECT_THAT(endpoints, ElementsAre("10.0.0.1:7", "[::1]:7", "unix:/s"));
  EXPECT_THAT(names, ElementsAre("planner:7", "other:8"));
  EXPECT_THAT(files, ElementsAre("/a/b", "c"));
  for (const char* text : {"", "@", "file:", "@a,", "a", "a:1,a:1"}) {
    const absl::Status status = ParsePlaces("--planners", text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--planners: "));
  }
}

TEST_F(DiscoveryTest, ANameStandsForEachOfItsAddresses) {
  names_.Set("planner", {{"10.0.0.1", "10.0.0.2"}});
  PlaceList list({Place(Place::Kind::kName, "planner:7")});
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.1:7", "10.0.0.2:7"));
  EXPECT_EQ(list.endpoints()[0].name(), "planner:7");
  names_.Set("planner", {{"10.0.0.2", "10.0.0.3"}});
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.2:7", "10.0.0.3:7"));
}

TEST_F(DiscoveryTest, ALookUpThatFailsKeepsWhatWasFound) {
  names_.Set("planner", {{"10.0.0.1"}});
  PlaceList list({Place(Place::Kind::kName, "planner:7"), Place(Place::Kind::kName, "other:7")});
  list.Refresh(names_.look_up());
  EXPECT_EQ(list.problem(), "no host other");
  names_.Set("planner", absl::UnavailableError("no server answers"));
  names_.Set("other", {{"10.0.0.9"}});
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.1:7", "10.0.0.9:7"));
  EXPECT_EQ(list.problem(), "no server answers");
  names_.Set("planner", {{"10.0.0.1"}});
  list.Refresh(names_.look_up());
  EXPECT_EQ(list.problem(), "");
}

TEST_F(DiscoveryTest, AFileIsReadAgainAndItsNamesAreLookedUp) {
  names_.Set("planner", {{"10.0.0.1"}});
  Write("10.0.0.5:7, 10.0.0.6:7  # two\n\n# none\nplanner:7\r\n10.0.0.5:7");
  PlaceList list({Place(Place::Kind::kFile, path_)});
  EXPECT_TRUE(list.changes());
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.5:7", "10.0.0.6:7", "10.0.0.1:7"));
  EXPECT_EQ(list.problem(), "");
  Write("10.0.0.6:7\n");
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.6:7"));
}

TEST_F(DiscoveryTest, AFileThatCannotBeReadOrNamesNothingKeepsWhatItNamed) {
  PlaceList list({Place(Place::Kind::kFile, path_)});
  list.Refresh(names_.look_up());
  EXPECT_THAT(list.endpoints(), IsEmpty());
  EXPECT_THAT(list.problem(), HasSubstr(path_));
  Write("10.0.0.6:7");
  list.Refresh(names_.look_up());
  ASSERT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.6:7"));
  for (const std::string& text :
       {std::string(), std::string("# later\n"), std::string("10.0.0.7:7\nnonsense\n"),
        std::string(PlaceList::kMostFileBytes + 1, '\n')}) {
    Write(text);
    list.Refresh(names_.look_up());
    EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.6:7"));
    EXPECT_THAT(list.problem(), HasSubstr(path_));
  }
  std::filesystem::remove(path_);
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.6:7"));
  // A pipe that nobody writes to holds nothing up.
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  list.Refresh(names_.look_up());
  EXPECT_THAT(Addresses(list.endpoints()), ElementsAre("10.0.0.6:7"));
  EXPECT_THAT(list.problem(), HasSubstr("no regular file"));
}

TEST_F(DiscoveryTest, ListsAreBounded) {
  std::string text;
  for (size_t i = 0; i < PlaceList::kMostEndpoints + 2; ++i) {
    absl::StrAppend(&text, "10.0.", i / 250, ".", i % 250, ":7\n");
  }
  Write(text);
  PlaceList list({Place(Place::Kind::kFile, path_)});
  list.Refresh(names_.look_up());
  EXPECT_EQ(list.endpoints().size(), PlaceList::kMostEndpoints);
  EXPECT_THAT(list.problem(), HasSubstr("2 addresses are left out"));
}

TEST_F(DiscoveryTest, EndpointsThatStayAreNeverLookedUp) {
  Discovery discovery({Endpoint("10.0.0.1:7"), Endpoint("unix:/s")}, {.look_up = names_.look_up()});
  std::vector<std::string> seen;
  const auto watcher =
      discovery.Watch([&](const std::vector<Endpoint>& list) { seen = Addresses(list); });
  EXPECT_THAT(seen, ElementsAre("10.0.0.1:7", "unix:/s"));
  EXPECT_EQ(names_.lookups(), 0);
}

TEST_F(DiscoveryTest, WatchersHearOfChangesUntilTheyAreGone) {
  FakeClock clock;
  names_.Set("planner", {{"10.0.0.1"}});
  Discovery discovery({Place(Place::Kind::kName, "planner:7")},
                      {.look_up = names_.look_up(), .clock = &clock});
  Mutex mu;
  std::vector<std::vector<std::string>> one, two;
  const auto note = [&mu](std::vector<std::vector<std::string>>* lists) {
    return [&mu, lists](const std::vector<Endpoint>& list) {
      MutexLock lock(&mu);
      lists->push_back(Addresses(list));
    };
  };
  clock.AwaitWaiters(1);
  auto first = discovery.Watch(note(&one));
  const auto second = discovery.Watch(note(&two));
  const auto advance = [&] {
    const int64_t waits = clock.waits();
    clock.Advance(absl::Seconds(2));
    clock.AwaitWaits(waits + 1);
  };
  advance();
  names_.Set("planner", {{"10.0.0.2"}});
  advance();
  first.reset();
  names_.Set("planner", {{"10.0.0.3"}});
  advance();
  MutexLock lock(&mu);
  EXPECT_THAT(one, ElementsAre(ElementsAre("10.0.0.1:7"), ElementsAre("10.0.0.2:7")));
  EXPECT_THAT(two, ElementsAre(ElementsAre("10.0.0.1:7"), ElementsAre("10.0.0.2:7"),
                               ElementsAre("10.0.0.3:7")));
}

// A lookup that takes long delays the next one; two never run at once.
TEST_F(DiscoveryTest, LookUpsDoNotOverlap) {
  FakeClock clock;
  Mutex mu;
  CondVar changed;
  int running = 0, most = 0, total = 0;
  bool released = false;
  {
    Discovery discovery({Place(Place::Kind::kName, "a:7"), Place(Place::Kind::kName, "b:7")},
                        {.look_up =
                             [&](const std::string&) {
                               MutexLock lock(&mu);
                               most = std::max(most, ++running);
                               ++total;
                               while (!released) changed.Wait(&mu);
                               --running;
                               return std::vector<std::string>{"10.0.0.1"};
                             },
                         .clock = &clock});
    ASSERT_TRUE(Await([&] {
      MutexLock lock(&mu);
      return total == 1;
    }));
    clock.Advance(absl::Minutes(1));
    {
      MutexLock lock(&mu);
      EXPECT_EQ(total, 1);
      released = true;
      changed.SignalAll();
    }
    clock.AwaitWaiters(1);
  }
  EXPECT_EQ(most, 1);
  EXPECT_EQ(total, 2);
}

TEST_F(DiscoveryTest, LocalhostHasOneFamilyOfAddresses) {
  const auto found = LookUpHost("localhost");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, ::testing::Contains("127.0.0.1"));
  EXPECT_THAT(*found, ::testing::Not(::testing::Contains("[::1]")));
  const absl::Status status = LookUpHost("no-such-host.invalid").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no-such-host.invalid"));
}

TEST_F(DiscoveryTest, AServerIsToldTheNameByWhichItWasFound) {
  NamedService service;
  const auto server = *Server::Start({.listen = "127.0.0.1:0"}, {&service});
  const Endpoint endpoint(server->address(), "planner.example:7000");
  const auto stub = proto::ReplayService::NewStub(endpoint.Channel());
  const auto info =
      CallUnary(*stub, &proto::ReplayService::Stub::Info, proto::InfoRequest(), absl::Seconds(10));
  EXPECT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(service.authority(), "planner.example:7000");
  EXPECT_FALSE(endpoint == Endpoint(server->address()));
}

}  // namespace
}  // namespace pompc::rpc
