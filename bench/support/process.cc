#include "bench/support/process.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace pompc::bench {

void StayOnOneCore(bool first) {
  cpu_set_t allowed, chosen;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
  int core = -1;
  for (int i = 0; i < CPU_SETSIZE && (core < 0 || !first); ++i) {
    if (CPU_ISSET(i, &allowed)) core = i;
  }
  CPU_ZERO(&chosen);
  CPU_SET(core, &chosen);
  (void)sched_setaffinity(0, sizeof(chosen), &chosen);
}

PeerProcess::PeerProcess(const std::vector<std::string>& arguments) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::abort();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::vector<std::string> words = {"/proc/self/exe"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) std::abort();
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  input_ = in[1];
  output_ = out[0];
}

PeerProcess::~PeerProcess() {
  CloseInput();
  while (!ReadLine().empty()) continue;
  waitpid(pid_, nullptr, 0);
  close(output_);
}

void PeerProcess::CloseInput() {
  if (input_ >= 0) close(input_);
  input_ = -1;
}

std::string PeerProcess::ReadLine() {
  std::string line;
  for (char c = 0; read(output_, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

void WriteLine(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void AwaitEndOfInput() {
  while (std::getchar() != EOF) continue;
}

Usage UsageNow() {
  const auto micros = [](const timeval& time) { return time.tv_sec * 1e6 + time.tv_usec; };
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return {.cpu_us = micros(usage.ru_utime) + micros(usage.ru_stime),
          .kernel_us = micros(usage.ru_stime),
          .waits = static_cast<double>(usage.ru_nvcsw)};
}

double ThreadMicros(const std::string& name) {
  double sum = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string comm;
    double nanos = 0;
    std::ifstream(task.path() / "comm") >> comm;
    std::ifstream(task.path() / "schedstat") >> nanos;
    if (comm == name) sum += nanos / 1000;
  }
  return sum;
}

void ResetPeakMemory() { std::ofstream("/proc/self/clear_refs") << "5"; }

uint64_t PeakMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    uint64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes << 10;
  }
  return 0;
}

}  // namespace pompc::bench
