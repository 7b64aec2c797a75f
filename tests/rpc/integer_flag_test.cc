#include "common/rpc/integer_flag.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::rpc {
namespace {

using ::testing::HasSubstr;

constexpr char kVariable[] = "POMPC_INTEGER_FLAG_TEST";

// A program with the flags --threads (1 to 64, also in the environment) and --seed.
struct Program {
  Program() {
    AddInteger(app, {"--threads", "how many", 1, 64, kVariable}, &threads);
    AddInteger(app, {"--seed", "of all"}, &seed);
  }

  // Empty, or the error.
  std::string Parse(std::vector<std::string> arguments) {
    // The parser takes them from the end.
    std::reverse(arguments.begin(), arguments.end());
    try {
      app.parse(arguments);
    } catch (const CLI::ParseError& error) {
      EXPECT_NE(error.get_exit_code(), 0);
      return error.what();
    }
    return "";
  }

  CLI::App app;
  int threads = 2;
  std::optional<uint64_t> seed;
};

TEST(IntegerFlag, ReadsItsRange) {
  Program program;
  EXPECT_EQ(program.Parse({"--threads", "64", "--seed=18446744073709551615"}), "");
  EXPECT_EQ(program.threads, 64);
  EXPECT_EQ(program.seed, std::numeric_limits<uint64_t>::max());
}

TEST(IntegerFlag, KeepsItsDefaultUnlessGiven) {
  Program program;
  EXPECT_EQ(program.Parse({}), "");
  EXPECT_EQ(program.threads, 2);
  EXPECT_EQ(program.seed, std::nullopt);
}

TEST(IntegerFlag, RefusesAllElseNamingFlagValueAndRange) {
  for (const char* text : {"010", "-1", "0x10", "+1", " 1", "1 ", "18446744073709551616", "1e3", "",
                           "1.0", "ten", "1_0", "0b1", "0o1"}) {
    Program program;
    EXPECT_EQ(program.Parse({"--seed", text}),
              std::string("--seed: \"") + text +
                  "\"; allowed: integer in decimal, 0 to 18446744073709551615");
    EXPECT_EQ(program.seed, std::nullopt);
  }
  for (const char* text : {"0", "65", "08"}) {
    Program program;
    EXPECT_EQ(program.Parse({std::string("--threads=") + text}),
              std::string("--threads or POMPC_INTEGER_FLAG_TEST: \"") + text +
                  "\"; allowed: integer in decimal, 1 to 64");
    EXPECT_EQ(program.threads, 2);
  }
}

TEST(IntegerFlag, ReadsTheEnvironmentTheSameWay) {
  setenv(kVariable, "7", 1);
  Program good;
  EXPECT_EQ(good.Parse({}), "");
  EXPECT_EQ(good.threads, 7);
  setenv(kVariable, "07", 1);
  Program bad;
  EXPECT_THAT(bad.Parse({}), HasSubstr("POMPC_INTEGER_FLAG_TEST: \"07\""));
  unsetenv(kVariable);
}

TEST(IntegerFlag, HelpTellsRangeAndDefault) {
  Program program;
  const std::string help = program.app.help();
  EXPECT_THAT(help, HasSubstr("1 to 64"));
  // CLI11 2.1 shows a default as "=2", later versions as "[2]".
  EXPECT_THAT(help, ::testing::ContainsRegex("--threads.*(=2|\\[2\\])"));
  EXPECT_THAT(help, HasSubstr("0 to 18446744073709551615"));
}

}  // namespace
}  // namespace pompc::rpc
