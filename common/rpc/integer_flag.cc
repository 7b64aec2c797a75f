#include "common/rpc/integer_flag.h"

#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/numbers.h"

namespace pompc::rpc {

CLI::Option* AddInteger(CLI::App& app, const IntegerFlag& flag, const std::string& default_text,
                        std::function<void(uint64_t)> set) {
  POMPC_CHECK(!flag.name.empty());
  POMPC_CHECK_LE(flag.min, flag.max);
  POMPC_CHECK(set != nullptr);
  // The flag is read as text: CLI11 would read 010 as 8 and -1 as the largest number.
  const auto parse = [flag, set = std::move(set)](const std::string& text) {
    const absl::StatusOr<uint64_t> value = ParseInteger<uint64_t>(text, flag.min, flag.max);
    if (value.ok()) return set(*value);
    throw CLI::ValidationError(
        flag.environment.empty() ? flag.name : absl::StrCat(flag.name, " or ", flag.environment),
        std::string(value.status().message()));
  };
  CLI::Option* option = app.add_option_function<std::string>(
      flag.name, parse, absl::StrCat(flag.help, "; ", flag.min, " to ", flag.max));
  option->type_name("N");
  if (!flag.environment.empty()) option->envname(flag.environment);
  if (!default_text.empty()) option->default_str(default_text);
  return option;
}

}  // namespace pompc::rpc
