#ifndef POMPC_TESTS_LEARNER_STATUS_SOME_VIEW_H_
#define POMPC_TESTS_LEARNER_STATUS_SOME_VIEW_H_

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/config/run_config.h"
#include "learner/status/status_view.h"

namespace pompc::learner {

inline constexpr char kHostile[] =
    "<script>document.title='x'</script>\"'&</title></style><!-- \\ \xff\n\x01 \xe2\x80\xa8";

// A run of which nothing is known yet.
inline StatusView EmptyView() {
  StatusView view;
  view.run.set_run_id("0123456789abcdef");
  *view.run.mutable_config() = config::Resolve(proto::RunConfig());
  view.run.mutable_config()->mutable_env()->set_task("walker-run");
  view.run.mutable_config()->mutable_env()->set_action_repeat(2);
  view.run.mutable_config()->mutable_stop()->set_return_mean(700);
  proto::RunStatus* status = view.run.mutable_status();
  status->set_phase(proto::SEED);
  status->set_run_dir("/runs/one");
  status->mutable_limiter()->mutable_limits()->set_max_rows(500000);
  status->mutable_limiter()->set_min_rows(1000);
  status->add_shards()->set_address("127.0.0.1:7000");
  view.time = absl::FromUnixSeconds(1750000000);
  view.recent.activities = view.whole.activities = {"updating", "waiting_for_data", "ratio"};
  view.recent.hold_reasons = view.whole.hold_reasons = {"ratio", "min_rows"};
  return view;
}

// 121 looks, two seconds apart: 100 rows and 50 updates a second, half of the time spent on
// updates.
inline StatusHistory SomeHistory(StatusHistory history, double from, double apart) {
  for (int i = 0; i <= 120; ++i) {
    const double s = i * apart;
    // Rows, updates, planned rows; activities; reasons; actors' seconds, and those of waiting.
    history.points.push_back({from + s,
                              {100 * s, 50 * s, 80 * s, 0.5 * s, 0.1 * s, 0.4 * s, 0.25 * s, 0,
                               4 * s, s * (1 + std::sin(i / 9.0) / 2)}});
  }
  return history;
}

// One every 5,000 rows.
inline void AddEvaluations(proto::RunStatus* status) {
  for (int i = 0; i < 24; ++i) {
    proto::EvaluationResult* result = status->add_evaluations();
    result->set_rows(5000 * (i + 1));
    result->set_updates(2500 * (i + 1));
    result->set_elapsed_seconds(50 * (i + 1));
    result->set_return_mean(700 * (1 - std::exp(-i / 8.0)) + (i % 3) * 9);
    result->set_return_ci95(25);
    result->set_return_min(result->return_mean() - 60);
    result->set_return_max(result->return_mean() + 55);
    result->set_episodes(10);
  }
}

// Two shards, one of them lost, a planner, 19 actors, an evaluator, and an actor that is gone.
inline void AddProcesses(proto::RunStatus* status) {
  proto::ShardStatus* shard = status->mutable_shards(0);
  shard->set_reachable(true);
  shard->set_stored_rows(60000);
  shard->set_accepted_rows(60000);
  shard->set_planned_rows(58000);
  shard->set_capacity_rows(250000);
  shard->set_windows(59000);
  shard->set_blocked_streams(2);
  proto::ShardStatus* lost = status->add_shards();
  lost->set_index(1);
  lost->set_address("10.0.0.2:7000");
  lost->set_stored_rows(60000);
  lost->set_capacity_rows(250000);
  lost->set_problem("connection refused");
  lost->set_unreachable_seconds(12);
  proto::PlannerStatus* planner = status->add_planners();
  planner->set_name("planner");
  planner->set_peer("10.0.1.7:50114");
  planner->set_connected(true);
  *planner->mutable_version() = status->version();
  for (uint32_t i = 0; i < 20; ++i) {
    proto::PeerStatus* peer = status->add_peers();
    peer->set_role(i == 19 ? proto::EVALUATOR : proto::ACTOR);
    peer->set_index(i == 19 ? 0 : i);
    peer->set_name(absl::StrCat("node-", i, ":4123"));
    peer->set_rows(6000);
    peer->set_episodes(12);
    peer->set_seconds_since_heartbeat(i == 5 ? 8 : 0.4);
    if (i == 3) peer->set_waiting("4 plan requests have had no answer for 3s");
  }
  proto::EndedPeer* ended = status->add_ended_peers();
  ended->set_role(proto::ACTOR);
  ended->set_index(19);
  ended->set_name("node-20:1");
  ended->set_seconds_ago(62);
  ended->set_how("no heartbeat came");
  ended->set_end(proto::SILENT);
}

// A run at work with everything that the page can show.
inline StatusView SomeView() {
  StatusView view = EmptyView();
  view.ranks = view.ranks_present = 2;
  proto::RunStatus* status = view.run.mutable_status();
  status->set_phase(proto::TRAINING);
  status->set_rows(120000);
  status->set_updates(60000);
  status->set_episodes(240);
  status->set_rows_per_second(100);
  status->set_updates_per_second(50);
  status->set_elapsed_seconds(1300);
  status->set_waiting("shard 1 at 10.0.0.2:7000 is unreachable for 0:12: connection refused");
  status->mutable_version()->set_incarnation(1);
  status->mutable_version()->set_number(600);
  AddEvaluations(status);
  status->set_best_evaluation(23);
  for (int i = 0; i < 240; ++i) {
    view.training.push_back({500.0 * (i + 1), 5.2 * (i + 1), 620 * (1 - std::exp(-i / 80.0)), 1});
  }
  AddProcesses(status);
  view.references.curves = {
      {"TD-MPC2", 0, {0, 100000, 200000, 300000}, {25, 720, 780, 800}, {3, 3, 3, 3}},
      {"SAC", 1, {0, 100000, 200000, 300000}, {25, 330, 480, 520}, {3, 3, 3, 3}}};
  view.recent = SomeHistory(view.recent, 1060, 2);
  view.whole = SomeHistory(view.whole, 0, 10);
  view.warnings = {{view.time, spdlog::level::warn, "shard 1: connection refused"}};
  view.log = {{view.time, spdlog::level::info, "evaluation 24: return 640.0 at 120000 rows"},
              view.warnings[0]};
  view.videos = {{"swingup.gif", "/runs/one/videos/swingup.gif", 4096, 7, "image/gif"}};
  return view;
}

// Every text from elsewhere is hostile.
inline StatusView HostileView() {
  StatusView view = SomeView();
  // Protocol Buffers hold UTF-8 alone; paths and lines of the log may be anything.
  const std::string text = absl::StrCat(absl::string_view(kHostile).substr(0, 60), "\xe2\x80\xa8");
  view.run.mutable_config()->mutable_env()->set_task(text);
  proto::RunStatus* status = view.run.mutable_status();
  status->set_run_dir(text);
  status->set_waiting(text);
  status->set_checkpoint_error(text);
  status->mutable_peers(0)->set_name(text);
  status->mutable_peers(0)->set_waiting(text);
  status->mutable_planners(0)->set_name(text);
  status->mutable_shards(1)->set_problem(text);
  view.references = {.note = kHostile};
  view.log[0].text = view.warnings[0].text = kHostile;
  view.videos[0].name = kHostile;
  return view;
}

}  // namespace pompc::learner

#endif  // POMPC_TESTS_LEARNER_STATUS_SOME_VIEW_H_
