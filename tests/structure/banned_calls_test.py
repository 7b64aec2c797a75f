"""Calls that have one home: time, locks and threads in common/base/threads."""

import re
import unittest

import source_tree

THREADS = ("common/base/threads.h", "common/base/threads.cc")
# What a signal handler may call is listed by POSIX; Clock is not.
SIGNAL_HANDLER = ("common/process/signals.cc",)

# These read numbers that pompc itself wrote.
FILE_FORMATS = ("rundir/checkpoint_store.cc", "rundir/evaluation_log.cc",
                "learner/training_log.cc", "learner/update/learnables.cc", "replay/store/manifest.cc")

# What, why, the files where it may appear.
BANNED = (
    (r"\babsl::Now\b|\bGetCurrentTimeNanos\b", "time comes from pompc::Clock", THREADS),
    (r"\b(system_clock|steady_clock|high_resolution_clock)\b", "time comes from pompc::Clock", THREADS),
    (r"\b(gettimeofday|clock_gettime)\s*\(|\bstd::time\s*\(|\btime\s*\(\s*(nullptr|NULL|0)\s*\)",
     "time comes from pompc::Clock", THREADS + SIGNAL_HANDLER),
    (r"\babsl::SleepFor\b|\bsleep_for\b|\bsleep_until\b|\b(u|nano)?sleep\s*\(",
     "waiting goes through pompc::Clock", THREADS),
    (r"\bstd::(recursive_|shared_|timed_)?mutex\b|\bstd::condition_variable(_any)?\b|\babsl::(Mutex|CondVar)\b"
     r"|\bstd::(lock_guard|unique_lock|scoped_lock)\b", "locks are pompc::Mutex, with annotations", THREADS),
    (r"\bstd::j?thread\b(?!::)|\bstd::async\b|\bpthread_create\b", "threads are pompc::Thread", THREADS),
    (r"(\.|->)detach\s*\(\s*\)(?=\s*;)", "a thread has an owner that joins it", ()),
    (r"\bs?rand\s*\(", "randomness comes from a seeded generator", ()),
    (r"\bgrpc::Server(Reader|Writer|ReaderWriter|AsyncReader|AsyncWriter|AsyncReaderWriter)\s*<"
     r"|::AsyncService\b|public\s+[\w:]+::Service\b(?!\w)", "services use gRPC's callback API", ()),
    (r"\busing namespace (std|torch|at|pompc)\s*;", "names are qualified", ()),
    (r"\bSimpleAtoi\b|\bstd::sto(i|l|ll|ul|ull)\b|\bato(i|l|ll)\s*\(|\bstrtou?ll?\b|\bCLI::Range\b",
     "numbers that people write are read by ParseInteger and AddInteger", FILE_FORMATS),
    (r"\bsetlocale\s*\(|\bstd::locale\b", "numbers read and look the same in every locale", ()),
)
EXEMPT = {
    # Tensors are detached from the graph by the same name.
    r"(\.|->)detach\s*\(\s*\)(?=\s*;)": ("model", "learner/update", "tests/model", "tests/learner", "bench"),
    # Short-lived and joined a few lines below.
    r"\bstd::j?thread\b(?!::)|\bstd::async\b|\bpthread_create\b": ("tests", "bench"),
    r"\bSimpleAtoi\b|\bstd::sto(i|l|ll|ul|ull)\b|\bato(i|l|ll)\s*\(|\bstrtou?ll?\b|\bCLI::Range\b": ("tests", "bench"),
}


def violations(path, text):
    problems = []
    for number, line in enumerate(source_tree.without_comments(text).splitlines(), start=1):
        for pattern, reason, allowed in BANNED:
            if path in allowed or path.startswith(EXEMPT.get(pattern, ()) or "\0"):
                continue
            match = re.search(pattern, line)
            if match:
                problems.append(f"{path}:{number}: {match.group(0).strip()}: {reason}")
    return problems


class BannedCallsTest(unittest.TestCase):
    def test_banned_calls_stay_in_their_home(self):
        problems = []
        for path in source_tree.files(source_tree.SOURCE_FOLDERS, (".h", ".cc")):
            problems += violations(path, source_tree.read(path))
        self.assertEqual(problems, [])

    def test_no_unfinished_work(self):
        folders = source_tree.SOURCE_FOLDERS + ("cmake", "scripts", "docker", "deploy", "docs", "presets")
        suffixes = (".h", ".cc", ".proto", ".cmake", "CMakeLists.txt", ".sh", ".md", ".yaml", ".yml", ".textproto")
        marker = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
        problems = [f"{path}:{number}" for path in source_tree.files(folders, suffixes)
                    for number, line in enumerate(source_tree.read(path).splitlines(), start=1) if marker.search(line)]
        self.assertEqual(problems, [])

    def test_each_ban_is_found(self):
        bad = ("auto t = absl::Now();", "std::chrono::steady_clock::now();", "std::this_thread::sleep_for(x);",
               "usleep(10);", "std::mutex mu;", "absl::Mutex mu;", "std::thread t(f);", "worker.detach();",
               "int i = rand();", "grpc::ServerReader<Foo>* reader;", "class A : public proto::Foo::Service {",
               "using namespace std;", "absl::SimpleAtoi(text, &n);", "option->check(CLI::Range(1, 5));",
               'setlocale(LC_ALL, "");')
        for line in bad:
            self.assertTrue(violations("actor/app.cc", line), line)

    def test_comments_strings_and_neighbours_pass(self):
        good = ("// never absl::Now()", 'Fail("std::mutex is banned");', "std::this_thread::get_id();",
                "grpc::ServerReadReactor<Foo>* reactor;", "class A : public proto::Foo::CallbackService {",
                "operand(3);", "clock->SleepFor(absl::Seconds(1));")
        for line in good:
            self.assertEqual(violations("actor/app.cc", line), [], line)


if __name__ == "__main__":
    unittest.main()
