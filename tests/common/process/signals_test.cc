#include "common/process/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/threads.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

// Each test runs in a process of its own: dispositions and masks are the process's.
class SignalsDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SignalsDeathTest, FirstSignalCallsTheHandlerOnce) {
  EXPECT_EXIT(
      {
        BlockSignals();
        Event stopped;
        int seen = 0;
        SignalHandler handler([&](int signal) {
          seen = signal;
          stopped.Set();
        });
        kill(getpid(), SIGTERM);
        stopped.Wait();
        _exit(seen == SIGTERM ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, SignalBeforeTheHandlerExistsIsNotLost) {
  EXPECT_EXIT(
      {
        BlockSignals();
        kill(getpid(), SIGINT);
        Event stopped;
        SignalHandler handler([&](int signal) { stopped.Set(); });
        stopped.Wait();
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, SecondSignalEndsTheProcessWhileTheFirstIsHandled) {
  EXPECT_EXIT(
      {
        BlockSignals();
        Event draining;
        Event never;
        SignalHandler handler([&](int signal) {
          draining.Set();
          never.Wait();
        });
        kill(getpid(), SIGTERM);
        draining.Wait();
        // At once it is an echo of the first.
        while (true) kill(getpid(), SIGTERM);
      },
      ::testing::ExitedWithCode(128 + SIGTERM), "");
}

// timeout(1) sends the signal to the process, then to its group.
TEST_F(SignalsDeathTest, TheSameSignalOnceMoreAtOnceIsNoSecondOne) {
  EXPECT_EXIT(
      {
        BlockSignals();
        Event handled;
        SignalHandler handler([&](int signal) { handled.Set(); });
        kill(getpid(), SIGTERM);
        handled.Wait();
        // Several, each of which has been delivered before the next.
        for (int i = 0; i < 20; ++i) {
          kill(getpid(), SIGTERM);
          sigset_t pending;
          do {
            sigpending(&pending);
          } while (sigismember(&pending, SIGTERM) == 1);
        }
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, SecondSignalCountsAfterTheFirstWasHandledToo) {
  EXPECT_EXIT(
      {
        BlockSignals();
        Event handled;
        SignalHandler handler([&](int signal) { handled.Set(); });
        kill(getpid(), SIGINT);
        handled.Wait();
        while (true) kill(getpid(), SIGINT);
      },
      ::testing::ExitedWithCode(128 + SIGINT), "");
}

// Libraries start threads before main, which block nothing.
TEST_F(SignalsDeathTest, SignalInAForeignThreadIsHandled) {
  EXPECT_EXIT(
      {
        Event stopped;
        Event ready;
        Event blocked;
        Thread foreign("foreign", [&] {
          ready.Set();
          blocked.Wait();
          pthread_kill(pthread_self(), SIGTERM);
        });
        ready.Wait();
        BlockSignals();
        SignalHandler handler([&](int signal) { stopped.Set(); });
        blocked.Set();
        stopped.Wait();
        foreign.Join();
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, HandlerEndsWithoutASignal) {
  EXPECT_EXIT(
      {
        BlockSignals();
        {
          SignalHandler handler([](int) {});
        }
        {
          SignalHandler again([](int) {});
        }
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, HangupIsASignalLikeTheOthers) {
  EXPECT_EXIT(
      {
        BlockSignals();
        Event stopped;
        int seen = 0;
        SignalHandler handler([&](int signal) {
          seen = signal;
          stopped.Set();
        });
        kill(getpid(), SIGHUP);
        stopped.Wait();
        _exit(seen == SIGHUP ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

// A terminal that closes sends it twice.
TEST_F(SignalsDeathTest, SecondHangupChangesNothingButASecondTerminationDoes) {
  EXPECT_EXIT(
      {
        BlockSignals();
        Event draining;
        Event never;
        SignalHandler handler([&](int signal) {
          draining.Set();
          never.Wait();
        });
        kill(getpid(), SIGHUP);
        draining.Wait();
        kill(getpid(), SIGHUP);
        kill(getpid(), SIGTERM);
        never.Wait();
      },
      ::testing::ExitedWithCode(128 + SIGTERM), "");
}

// The kernel sends SIGXCPU every second, and batch systems may repeat themselves.
TEST_F(SignalsDeathTest, EachNoticeIsTakenOnceAndItsRepetitionsChangeNothing) {
  for (const int notice : {SIGXCPU, SIGUSR1, SIGUSR2}) {
    EXPECT_EXIT(
        {
          BlockSignals();
          Event stopped;
          int seen = 0;
          SignalHandler handler([&](int signal) {
            seen = signal;
            stopped.Set();
          });
          kill(getpid(), notice);
          stopped.Wait();
          for (const int again : {SIGXCPU, SIGUSR1, SIGUSR2}) kill(getpid(), again);
          _exit(seen == notice ? 0 : 1);
        },
        ::testing::ExitedWithCode(0), "");
  }
}

TEST(Signals, SayWhyTheProcessStops) {
  EXPECT_EQ(StopReason(SIGXCPU), "CPU time limit (ulimit -t) reached");
  EXPECT_EQ(StopReason(SIGUSR1), "told to end by SIGUSR1");
  EXPECT_EQ(StopReason(SIGTERM), "told to end by SIGTERM");
}

TEST_F(SignalsDeathTest, HangupThatIsIgnoredStaysIgnored) {
  EXPECT_EXIT(
      {
        signal(SIGHUP, SIG_IGN);  // as nohup does
        BlockSignals();
        Event stopped;
        int seen = 0;
        SignalHandler handler([&](int signal) {
          seen = signal;
          stopped.Set();
        });
        kill(getpid(), SIGHUP);
        kill(getpid(), SIGTERM);
        stopped.Wait();
        _exit(seen == SIGTERM ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST_F(SignalsDeathTest, BrokenPipesAreErrorsNotDeaths) {
  EXPECT_EXIT(
      {
        BlockSignals();
        int ends[2];
        if (pipe(ends) != 0) _exit(2);
        close(ends[0]);
        _exit(write(ends[1], "x", 1) < 0 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace pompc
