// Predicts rates, queues and bottlenecks of fleets (docs/scaling.md):
//
//   fleet_scaling --actors 10,100,1000,10000 --planners 1,4,16,64 --shards 1,8 > scaling.csv
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/scaling/fleet_simulation.h"

namespace pompc::bench {
namespace {

struct Flags {
  std::vector<int> actors = {10, 100, 1000, 10000};
  std::vector<int> planners = {1};
  std::vector<int> shards = {1};
  FleetOptions fleet;
  double decision_us = 60, plan_us = 2000, batch_us = 0, chunk_us = 30, row_us = 3, window_us = 4;
  double update_us = 6800, heartbeat_us = 60, grant_us = 120, message_us = 50, interval_ms = 0;
  double warm_up_seconds = 5, seconds = 10;
};

void AddTimes(CLI::App& app, Flags& flags) {
  app.add_option("--decision-us", flags.decision_us, "an actor's CPU time for a decision");
  app.add_option("--plan-us", flags.plan_us, "a planner's time for a plan, on one thread");
  app.add_option("--batch-us", flags.batch_us,
                 "its time for a batch beside its plans; above 0: plans are made in batches");
  app.add_option("--chunk-us", flags.chunk_us, "a shard's time for a message of rows or windows");
  app.add_option("--row-us", flags.row_us, "a shard's time for a row");
  app.add_option("--window-us", flags.window_us, "a shard's time for a window that is drawn");
  app.add_option("--update-us", flags.update_us, "the learner's time for an update");
  app.add_option("--heartbeat-us", flags.heartbeat_us, "the learner's time for a heartbeat");
  app.add_option("--grant-us", flags.grant_us, "the learner's time for a grant to a shard");
  app.add_option("--message-us", flags.message_us, "a message's way between two processes");
}

void AddFleet(CLI::App& app, Flags& flags) {
  app.add_option("--actors", flags.actors, "numbers of actors")->delimiter(',');
  app.add_option("--planners", flags.planners, "numbers of planners")->delimiter(',');
  app.add_option("--shards", flags.shards, "numbers of shards")->delimiter(',');
  app.add_option("--environments", flags.fleet.environments, "of each actor");
  app.add_option("--planner-threads", flags.fleet.planner_threads, "of each planner");
  app.add_option("--max-batch", flags.fleet.max_batch, "planner.max_batch");
  app.add_option("--max-queue", flags.fleet.max_queue, "planner.max_queue");
  app.add_option("--interval-ms", flags.interval_ms,
                 "an environment decides so often at most; 0: as often as it can");
  app.add_option("--utd", flags.fleet.utd, "learner.utd");
  app.add_option("--slack-rows", flags.fleet.slack_rows, "replay.slack_rows");
  app.add_option("--seed-rows", flags.fleet.seed_rows, "learner.seed_rows");
  app.add_option("--batch-size", flags.fleet.batch_size, "learner.batch_size");
  app.add_option("--chunk-rows", flags.fleet.chunk_rows, "actor.chunk_rows");
  app.add_option("--publish-every-updates", flags.fleet.publish_every_updates, "of the learner");
  app.add_option("--parameter-bytes", flags.fleet.parameter_bytes, "of a version");
  app.add_option("--bytes-per-second", flags.fleet.bytes_per_second,
                 "that the learner sends to all planners");
  app.add_option("--warm-up-seconds", flags.warm_up_seconds, "of training before measuring");
  app.add_option("--seconds", flags.seconds, "that are measured");
  app.add_option("--seed", flags.fleet.seed, "of all chance");
}

FleetOptions Options(const Flags& flags) {
  FleetOptions fleet = flags.fleet;
  const auto us = [](double number) { return absl::Microseconds(number); };
  fleet.times = {.decision = us(flags.decision_us),
                 .plan = us(flags.plan_us),
                 .batch = us(flags.batch_us),
                 .chunk = us(flags.chunk_us),
                 .row = us(flags.row_us),
                 .window = us(flags.window_us),
                 .update = us(flags.update_us),
                 .heartbeat = us(flags.heartbeat_us),
                 .grant = us(flags.grant_us),
                 .message = us(flags.message_us)};
  fleet.plans_one_by_one = flags.batch_us == 0;
  fleet.decision_interval = absl::Milliseconds(flags.interval_ms);
  fleet.warm_up = absl::Seconds(flags.warm_up_seconds);
  fleet.measured = absl::Seconds(flags.seconds);
  return fleet;
}

constexpr char kHeader[] =
    "actors,planners,shards,rows_per_second,updates_per_second,plan_p50_ms,plan_p99_ms,queue_p50_"
    "ms,"
    "queue_p99_ms,refusals_per_plan,least_rows,held_back,planners_busy,shards_busy,updates_busy,"
    "calls_busy,parameters_busy,actors_busy,push_us,poll_us,pick_us,heartbeat_us,grant_us,"
    "bottleneck";

std::string Row(const FleetOptions& fleet, const FleetReport& report) {
  const auto ms = [](absl::Duration time) { return absl::ToDoubleMilliseconds(time); };
  const auto us = [](absl::Duration time) { return absl::ToDoubleMicroseconds(time); };
  std::vector<double> numbers = {
      report.rows_per_second, report.updates_per_second, ms(report.plan_p50),
      ms(report.plan_p99),    ms(report.queue_p50),      ms(report.queue_p99),
      report.refusals,        report.least_rows,         report.held_back};
  for (const FleetLoad& load : report.loads) numbers.push_back(load.share);
  for (const absl::Duration time :
       {report.push, report.poll, report.pick, report.heartbeat, report.grant}) {
    numbers.push_back(us(time));
  }
  return absl::StrCat(fleet.actors, ",", fleet.planners, ",", fleet.shards, ",",
                      absl::StrJoin(numbers, ","), ",", report.bottleneck);
}

int Main(int argc, char** argv) {
  CLI::App app("Simulates fleets of several sizes and prints a line of CSV for each.");
  Flags flags;
  AddFleet(app, flags);
  AddTimes(app, flags);
  CLI11_PARSE(app, argc, argv);
  std::cout << kHeader << std::endl;
  for (const int actors : flags.actors) {
    for (const int planners : flags.planners) {
      for (const int shards : flags.shards) {
        FleetOptions fleet = Options(flags);
        fleet.actors = actors;
        fleet.planners = planners;
        fleet.shards = shards;
        const FleetReport report = SimulateFleet(fleet);
        if (report.failure.empty()) {
          std::cout << Row(fleet, report) << std::endl;
        } else {
          std::cerr << actors << " actors, " << planners << " planners, " << shards
                    << " shards: " << report.failure << std::endl;
        }
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace pompc::bench

int main(int argc, char** argv) { return pompc::bench::Main(argc, argv); }
