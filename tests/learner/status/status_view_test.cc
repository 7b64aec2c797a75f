#include "learner/status/status_view.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "common/values/utf8.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/status/processes.h"
#include "learner/status/status_html.h"
#include "learner/status/status_json.h"
#include "nlohmann/json.hpp"
#include "tests/learner/status/some_view.h"

namespace pompc::learner {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;

constexpr size_t kPoints = 300;

Json Parsed(const StatusView& view) { return Json::parse(StatusJson(view, kPoints)); }

// Paths of all values: "run.task", "recent.learner[].share[]".
void AddPaths(const Json& value, const std::string& path, std::set<std::string>* paths) {
  if (value.is_object()) {
    for (const auto& [key, field] : value.items()) {
      AddPaths(field, path.empty() ? key : path + "." + key, paths);
    }
  } else if (value.is_array()) {
    for (const Json& entry : value) AddPaths(entry, path + "[]", paths);
  } else {
    paths->insert(path);
  }
}

std::set<std::string> DocumentedPaths() {
  std::ifstream file(POMPC_SOURCE_DIR "/docs/status.md");
  std::set<std::string> paths;
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, "| `")) continue;
    paths.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return paths;
}

TEST(StatusJson, HasTheFieldsThatAreDocumented) {
  std::set<std::string> served;
  AddPaths(Parsed(SomeView()), "", &served);
  EXPECT_EQ(served, DocumentedPaths());
}

TEST(StatusJson, OfANewRunHasNoOtherFields) {
  std::set<std::string> served;
  const Json document = Parsed(EmptyView());
  AddPaths(document, "", &served);
  served.erase("evaluations.best");
  EXPECT_THAT(DocumentedPaths(), IsSupersetOf(served));
  EXPECT_TRUE(document["evaluations"]["best"].is_null());
  EXPECT_EQ(document["evaluations"]["total"], 0);
  EXPECT_TRUE(document["recent"]["seconds"].empty());
  EXPECT_EQ(document["counts"]["plans_per_second"], 0);
}

TEST(StatusJson, TellsRatesAndSharesOfEachInterval) {
  const Json document = Parsed(SomeView());
  EXPECT_EQ(document["format"], kStatusFormat);
  EXPECT_EQ(document["time"], "2025-06-15T15:06:40.000Z");
  const Json& recent = document["recent"];
  EXPECT_THAT(recent["seconds"], SizeIs(121));
  EXPECT_EQ(recent["seconds"][0], 1060);
  for (const char* series :
       {"rows_per_second", "updates_per_second", "plans_per_second", "actors", "actors_waiting"}) {
    EXPECT_THAT(recent[series], SizeIs(120)) << series;
  }
  EXPECT_EQ(recent["rows_per_second"][7], 100);
  EXPECT_EQ(recent["updates_per_second"][7], 50);
  EXPECT_EQ(recent["plans_per_second"][119], 80);
  EXPECT_EQ(document["counts"]["plans_per_second"], 80);
  EXPECT_EQ(document["counts"]["frames"], 240000);
  EXPECT_EQ(recent["actors"][0], 4);
  EXPECT_EQ(recent["learner"][0]["name"], "updating");
  EXPECT_EQ(recent["learner"][0]["share"][3], 0.5);
  EXPECT_EQ(recent["learner"][2]["share"][3], 0.4);
  EXPECT_EQ(recent["writers_held"][0]["share"][3], 0.25);
  EXPECT_EQ(document["evaluations"]["best"]["rows"], 120000);
}

TEST(StatusJson, CountersThatBeginAnewStandStill) {
  StatusView view = EmptyView();
  view.recent = SomeHistory(view.recent, 0, 2);
  view.recent.points[60].totals[2] = 0;
  const Json plans = Parsed(view)["recent"]["plans_per_second"];
  EXPECT_EQ(plans[58], 80);
  EXPECT_EQ(plans[59], 0);
}

TEST(StatusJson, WhatIsNoNumberIsNull) {
  StatusView view = SomeView();
  view.run.mutable_status()->mutable_evaluations(0)->set_return_ci95(NAN);
  view.run.mutable_status()->mutable_evaluations(1)->set_return_max(INFINITY);
  const Json evaluations = Parsed(view)["evaluations"];
  EXPECT_TRUE(evaluations["return_ci95"][0].is_null());
  EXPECT_TRUE(evaluations["return_max"][1].is_null());
}

TEST(StatusJson, IsBounded) {
  StatusView view = SomeView();
  proto::RunStatus* status = view.run.mutable_status();
  while (status->evaluations_size() < 4096) {
    *status->add_evaluations() = status->evaluations(status->evaluations_size() % 24);
  }
  const std::string name(256, 'n'), line(RecentLog::kMaxLineBytes, '"');
  for (int i = 0; i < 5000; ++i) {
    proto::PeerStatus* peer = status->add_peers();
    peer->set_role(proto::ACTOR);
    peer->set_name(name);
    peer->set_waiting(name);
  }
  for (int i = 0; i < 1000; ++i) status->add_shards()->set_problem(std::string(5000, 'p'));
  view.log.assign(RecentLog::kMaxLines, {view.time, spdlog::level::info, line});
  view.warnings.assign(RecentLog::kMaxWarnings, {view.time, spdlog::level::err, line});
  const std::string document = StatusJson(view, kPoints);
  EXPECT_LT(document.size(), 600u << 10);
  const Json parsed = Json::parse(document);
  EXPECT_EQ(parsed["evaluations"]["total"], 4096);
  EXPECT_THAT(parsed["evaluations"]["rows"], SizeIs(kPoints));
  EXPECT_THAT(parsed["processes"], SizeIs(256));
  EXPECT_THAT(parsed["replay"]["shards"], SizeIs(256));
}

TEST(StatusJson, OfTooManyProcessesThoseInNeedOfALookAreKept) {
  StatusView view = EmptyView();
  proto::RunStatus* status = view.run.mutable_status();
  for (uint32_t i = 0; i < 1000; ++i) {
    proto::PeerStatus* peer = status->add_peers();
    peer->set_role(proto::ACTOR);
    peer->set_index(i);
    if (i == 998) peer->set_waiting("a plan");
    if (i == 999) peer->set_seconds_since_heartbeat(60);
  }
  const Json parsed = Parsed(view);
  size_t actors = 0;
  for (const Json& count : parsed["health_counts"]) {
    if (count["role"] != "actor") continue;
    actors += count["count"].get<size_t>();
    EXPECT_EQ(count["count"], count["health"] == "ok" ? 998 : 1);
  }
  EXPECT_EQ(actors, 1000u);
  EXPECT_THAT(parsed["processes"], SizeIs(256));
  std::vector<uint32_t> listed;
  for (const Json& process : parsed["processes"]) {
    if (process["role"] == "actor") listed.push_back(process["index"].get<uint32_t>());
  }
  ASSERT_GE(listed.size(), 2u);
  EXPECT_EQ(listed[0], 999u);
  EXPECT_EQ(listed[1], 998u);
}

TEST(StatusJson, HostileTextsComeBackAsText) {
  const std::string document = StatusJson(HostileView(), kPoints);
  EXPECT_TRUE(IsUtf8(document));
  const Json parsed = Json::parse(document);
  const std::string task = parsed["run"]["task"];
  EXPECT_THAT(task, HasSubstr("<script>document.title='x'</script>\"'&"));
  EXPECT_THAT(std::string(parsed["log"][0]["text"]), HasSubstr("\\xff"));
}

TEST(StatusHtml, HostileTextsAreEscaped) {
  const std::string page = StatusHtml(HostileView());
  EXPECT_TRUE(IsUtf8(page));
  EXPECT_THAT(page, Not(HasSubstr("<script>document")));
  EXPECT_THAT(page, Not(HasSubstr("<!-- \\")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;document.title=&#39;x&#39;&lt;/script&gt;&quot;"));
  EXPECT_THAT(page, HasSubstr("<title>&lt;script&gt;"));
}

TEST(StatusHtml, IsOneFileWithTablesForThoseWithoutScripts) {
  const std::string page = StatusHtml(SomeView());
  EXPECT_THAT(page, AllOf(HasSubstr("<title>walker-run - pompc</title>"),
                          HasSubstr("<noscript><meta http-equiv=\"refresh\""),
                          HasSubstr("<td>0123456789abcdef</td>"), HasSubstr("node-3:4123"),
                          HasSubstr("shard 1: connection refused"),
                          HasSubstr("<a href=\"status/video/0\">swingup.gif</a>")));
  EXPECT_THAT(page, AllOf(HasSubstr("default-src 'none'"), HasSubstr("script-src 'sha256-")));
  // The name of SVG's elements is no place that something is loaded from.
  std::string rest = page;
  rest.erase(rest.find("http://www.w3.org/2000/svg"), 26);
  EXPECT_THAT(rest, AllOf(Not(HasSubstr("http://")), Not(HasSubstr("https://")),
                          Not(HasSubstr("{{")), Not(HasSubstr("@import"))));
}

std::string HealthOf(const StatusView& view, const std::string& name) {
  for (const ProcessView& process : Processes(view)) {
    if (process.name == name || process.address == name) return process.health;
  }
  return "none";
}

TEST(Processes, TellTheHealthOfEach) {
  StatusView view = SomeView();
  EXPECT_EQ(HealthOf(view, "learner"), "ok");
  EXPECT_EQ(HealthOf(view, "127.0.0.1:7000"), "ok");
  EXPECT_EQ(HealthOf(view, "10.0.0.2:7000"), "trouble");
  EXPECT_EQ(HealthOf(view, "planner"), "ok");
  EXPECT_EQ(HealthOf(view, "node-0:4123"), "ok");
  EXPECT_EQ(HealthOf(view, "node-3:4123"), "waiting");
  EXPECT_EQ(HealthOf(view, "node-5:4123"), "trouble");
  EXPECT_EQ(HealthOf(view, "node-20:1"), "ended");
  proto::RunStatus* status = view.run.mutable_status();
  status->mutable_ended_peers(0)->set_nothing_since(true);
  EXPECT_EQ(HealthOf(view, "node-20:1"), "trouble");
  status->mutable_planners(0)->set_behind_seconds(30);
  EXPECT_EQ(HealthOf(view, "planner"), "trouble");
  status->mutable_planners(0)->set_connected(false);
  EXPECT_EQ(HealthOf(view, "planner"), "trouble");
  view.ranks_present = 1;
  EXPECT_EQ(HealthOf(view, "learner"), "waiting");
  status->set_checkpoint_error("disk full");
  EXPECT_EQ(HealthOf(view, "learner"), "trouble");
  status->set_phase(proto::FINISHED);
  EXPECT_EQ(HealthOf(view, "learner"), "ended");
}

// What browser_test.py shows to a browser, in the folder that it names.
TEST(StatusPages, CanBeWrittenForABrowser) {
  const char* const named = std::getenv("POMPC_STATUS_PAGES");
  const std::filesystem::path folder = named != nullptr ? named : testing::TempDir() + "/pages";
  const std::pair<const char*, StatusView> views[] = {
      {"full", SomeView()}, {"empty", EmptyView()}, {"hostile", HostileView()}};
  for (const auto& [name, view] : views) {
    std::filesystem::create_directories(folder / name);
    std::ofstream(folder / name / "status") << StatusHtml(view);
    std::ofstream(folder / name / "status.json") << StatusJson(view, kPoints);
    EXPECT_GT(std::filesystem::file_size(folder / name / "status.json"), 1000u);
  }
}

}  // namespace
}  // namespace pompc::learner
