#ifndef POMPC_COMMON_RPC_INTEGER_FLAG_H_
#define POMPC_COMMON_RPC_INTEGER_FLAG_H_

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace pompc::rpc {

// A flag whose value is a whole number. All programs read theirs with AddInteger: the command-line
// library would take 010 for 8 and -1 for 2^64 - 1.
struct IntegerFlag {
  // "--threads".
  std::string name;
  // What the number is. The help adds the allowed range.
  std::string help;
  // Allowed values, inclusive.
  uint64_t min = 0;
  uint64_t max = std::numeric_limits<uint64_t>::max();
  // Environment variable that stands in for the flag, "POMPC_THREADS"; empty: none.
  std::string environment;
};

// Adds the flag to `app`. When its value is parsed `set` is called with it, or the parsing fails
// with an error that names flag, value and range. `default_text` is what the help shows as default;
// empty: nothing.
CLI::Option* AddInteger(CLI::App& app, const IntegerFlag& flag, const std::string& default_text,
                        std::function<void(uint64_t)> set);

// The same into `*value`, which holds the default and must outlive the parsing.
template <std::integral T>
CLI::Option* AddInteger(CLI::App& app, IntegerFlag flag, T* value) {
  flag.max = std::min<uint64_t>(flag.max, std::numeric_limits<T>::max());
  return AddInteger(app, flag, std::to_string(*value),
                    [value](uint64_t parsed) { *value = static_cast<T>(parsed); });
}

// The same without a default: `*value` is absent unless the flag is given.
template <std::integral T>
CLI::Option* AddInteger(CLI::App& app, IntegerFlag flag, std::optional<T>* value) {
  flag.max = std::min<uint64_t>(flag.max, std::numeric_limits<T>::max());
  return AddInteger(app, flag, "",
                    [value](uint64_t parsed) { *value = static_cast<T>(parsed); });
}

}  // namespace pompc::rpc

#endif  // POMPC_COMMON_RPC_INTEGER_FLAG_H_
