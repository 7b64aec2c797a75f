#include "learner/monitor.h"

#include <memory>
#include <string>
#include <utility>

#include "common/base/threads.h"
#include "gtest/gtest.h"
#include "parameters/publisher.h"
#include "tests/learner/fake_engine.h"
#include "tests/run/run_fixture.h"
#include "tests/rundir/scratch_folder.h"
#include "tests/support/await.h"

namespace pompc::learner {
namespace {

// Far less is as good as hung here: the write ends when the test says so.
TEST(MonitorTest, ACheckpointThatTakesLongToWriteIsToldOf) {
  ScratchFolder folder;
  auto store = rundir::CheckpointStore::Open(folder.File("checkpoints"), 1);
  ASSERT_TRUE(store.ok()) << store.status();
  CheckpointWriter writer(*std::move(store), Clock::Real());
  run::RunControl control(run::SmallRun(), Clock::Real());
  parameters::Publisher publisher(parameters::PublisherOptions{});
  const parameters::ParameterService service(&publisher, {});
  auto monitor = Monitor::Start({.run_dir = folder.File(""),
                                 .interval = absl::Milliseconds(1),
                                 .slow_write = absl::Milliseconds(5)},
                                &control, &writer, &service, nullptr);
  ASSERT_TRUE(monitor.ok()) << monitor.status();
  FakeEngine engine;
  engine.write_after = std::make_shared<Event>();
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->info.progress.updates = 7;
  checkpoint->engine = engine.Export();
  writer.Write(std::move(checkpoint), false);
  const auto waiting = [&] { return control.Status().waiting(); };
  EXPECT_TRUE(Await([&] {
    return waiting().find("that of update 7 is still being written") != std::string::npos;
  })) << waiting();
  EXPECT_GT(control.Status().checkpoint_failing_seconds(), 0);
  engine.write_after->Set();
  EXPECT_TRUE(Await([&] { return control.Status().checkpoint_error().empty(); }));
}

}  // namespace
}  // namespace pompc::learner
