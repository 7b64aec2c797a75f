#include "common/metrics/metrics.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Metrics, ShowValuesInPrometheusText) {
  MetricsRegistry registry;
  const MetricSource source = registry.AddSource([](MetricSamples& out) {
    out.Counter("pompc_replay_rows_total", "Rows.", 3, {{"shard", "0"}});
    out.Gauge("pompc_replay_windows", "Windows.", 2.5);
  });
  registry.Histogram({"pompc_planner_batch_size", "Requests.", {}}, {1, 2, 4}).Observe(2);
  const std::string text = registry.ToText();
  EXPECT_THAT(text, HasSubstr("# HELP pompc_replay_rows_total Rows.\n"
                              "# TYPE pompc_replay_rows_total counter\n"
                              "pompc_replay_rows_total{shard=\"0\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("pompc_replay_windows 2.5\n"));
  EXPECT_THAT(text, HasSubstr("pompc_planner_batch_size_bucket{le=\"2\"} 1\n"));
}

TEST(Metrics, SameNameAndLabelsGiveTheSameHistogram) {
  MetricsRegistry registry;
  const MetricName name{"pompc_a_seconds", "A.", {{"x", "1"}}};
  EXPECT_EQ(&registry.Histogram(name, {1}), &registry.Histogram(name, {1}));
  EXPECT_NE(&registry.Histogram(name, {1}),
            &registry.Histogram({"pompc_a_seconds", "A.", {{"x", "2"}}}, {1}));
}

TEST(Metrics, ASourceIsAskedOnceForEachScrapeUntilItIsRemoved) {
  MetricsRegistry registry;
  int scrapes = 0;
  MetricSource source = registry.AddSource([&](MetricSamples& out) {
    ++scrapes;
    out.Gauge("pompc_a_rows", "A.", scrapes);
    out.Gauge("pompc_b_rows", "B.", scrapes);
  });
  EXPECT_THAT(registry.ToText(), AllOf(HasSubstr("pompc_a_rows 1\n"), HasSubstr("_b_rows 1\n")));
  EXPECT_THAT(registry.ToText(), AllOf(HasSubstr("pompc_a_rows 2\n"), HasSubstr("_b_rows 2\n")));
  MetricSource moved = std::move(source);
  source.Remove();
  EXPECT_THAT(registry.ToText(), HasSubstr("pompc_a_rows 3\n"));
  moved.Remove();
  moved.Remove();
  EXPECT_THAT(registry.ToText(), Not(HasSubstr("pompc_a_rows")));
  EXPECT_EQ(scrapes, 3);
}

TEST(Metrics, SamplesOfOneNameShareOneHeadingWhateverTheirSource) {
  MetricsRegistry registry;
  const auto add = [&](int value, const char* shard) {
    return registry.AddSource([value, shard](MetricSamples& out) {
      out.Counter("pompc_a_total", "A.", value, {{"shard", shard}});
      out.Counter("pompc_b_total", "B.", value, {{"shard", shard}});
    });
  };
  const MetricSource zero = add(1, "0"), one = add(2, "1");
  const std::string text = registry.ToText();
  EXPECT_EQ(Count(text, "# TYPE pompc_a_total counter"), 1);
  EXPECT_THAT(text, HasSubstr("pompc_a_total{shard=\"0\"} 1\npompc_a_total{shard=\"1\"} 2\n"));
}

TEST(Metrics, SamplesOfASourceHaveTheRunThatItServesNow) {
  MetricsRegistry registry;
  std::string run;
  prometheus::Histogram histogram({1, 2});
  histogram.Observe(1.5);
  const MetricSource shard = registry.AddSource([&](MetricSamples& out) {
    out.SetRun(run);
    out.Counter("pompc_a_total", "A.", 1, {{"shard", "0"}});
    out.Gauge("pompc_b", "B.", 2);
    out.Histogram("pompc_c_seconds", "C.", histogram, {{"role", "actor"}});
  });
  // Comes after it, and belongs to no run.
  const MetricSource process =
      registry.AddSource([](MetricSamples& out) { out.Gauge("pompc_d", "D.", 4); });
  EXPECT_THAT(registry.ToText(), Not(HasSubstr("run=")));
  for (const char* id : {"one", "another"}) {
    run = id;
    const std::string label = "run=\"" + run + "\"";
    EXPECT_THAT(
        registry.ToText(),
        AllOf(HasSubstr("pompc_a_total{shard=\"0\"," + label + "} 1\n"),
              HasSubstr("pompc_b{" + label + "} 2\n"), HasSubstr("pompc_d 4\n"),
              HasSubstr("pompc_c_seconds_bucket{role=\"actor\"," + label + ",le=\"2\"} 1\n"),
              HasSubstr("# TYPE pompc_c_seconds histogram\n")));
  }
}

TEST(Metrics, SourcesMayOutliveTheRegistry) {
  MetricSource source;
  {
    MetricsRegistry registry;
    source = registry.AddSource([](MetricSamples&) {});
  }
  source.Remove();
}

TEST(Metrics, StateSecondsSumToTheWallTime) {
  enum class State { kIdle, kBusy };
  FakeClock clock;
  StateTimer<State, 2> timer(&clock, State::kIdle);
  MetricsRegistry registry;
  const MetricSource source = registry.AddSource([&](MetricSamples& out) {
    out.StateSeconds("pompc_actor_state_seconds_total", "Time.", timer, {"idle", "busy"});
  });
  clock.Advance(absl::Seconds(3));
  timer.Enter(State::kBusy);
  clock.Advance(absl::Seconds(4));
  const std::string text = registry.ToText();
  EXPECT_THAT(text, HasSubstr("pompc_actor_state_seconds_total{state=\"idle\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("pompc_actor_state_seconds_total{state=\"busy\"} 4\n"));
}

TEST(Metrics, ProcessMetricsAreThere) {
  MetricsRegistry registry;
  const MetricSource process = AddProcessMetrics(registry, "pompc-replay");
  const std::string text = registry.ToText();
  EXPECT_THAT(text, HasSubstr("pompc_build_info{role=\"pompc-replay\",version=\""));
  for (const char* name : {"process_cpu_seconds_total", "process_open_fds",
                           "process_resident_memory_bytes", "process_threads"}) {
    const size_t at = text.find(std::string("\n") + name + " ");
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_GT(std::stod(text.substr(text.find(' ', at))), 0) << name;
  }
}

TEST(Metrics, TextPassesPromtool) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0) {
    GTEST_SKIP() << "promtool is not installed (Debian package prometheus)";
  }
  MetricsRegistry registry;
  const MetricSource process = AddProcessMetrics(registry, "pompc-replay");
  const MetricSource source = registry.AddSource([](MetricSamples& out) {
    out.Counter("pompc_replay_rows_total", "Rows.", 1, {{"shard", "\"\n\\"}});
  });
  registry.Histogram({"pompc_planner_wait_seconds", "Wait.", {}}, {0.001, 0.01}).Observe(0.005);
  const std::string path = ::testing::TempDir() + "/metrics_test.txt";
  std::ofstream(path) << registry.ToText();
  EXPECT_EQ(std::system(("promtool check metrics < " + path).c_str()), 0);
}

}  // namespace
}  // namespace pompc
