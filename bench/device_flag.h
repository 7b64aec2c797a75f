// The flag of benches that run on a device of choice.
#ifndef POMPC_BENCH_DEVICE_FLAG_H_
#define POMPC_BENCH_DEVICE_FLAG_H_

#include <cstdio>
#include <string>
#include <string_view>

#include "model/device.h"

namespace pompc::bench {

// Reads "--device D" or "--device=D" from what the benchmark library left of the command line into
// `device`. False, and the reason on standard error, for anything else and for a device there is
// not.
inline bool ParseDeviceFlag(int argc, char** argv, at::Device* device) {
  constexpr std::string_view kFlag = "--device";
  std::string name = "cpu";
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == kFlag && i + 1 < argc) {
      name = argv[++i];
    } else if (argument.rfind("--device=", 0) == 0) {
      name = argument.substr(kFlag.size() + 1);
    } else {
      std::fprintf(stderr, "unknown argument %s: --device cpu, cuda or cuda:N is allowed\n",
                   argv[i]);
      return false;
    }
  }
  const absl::StatusOr<at::Device> parsed = model::ParseDevice(name);
  if (!parsed.ok()) {
    std::fprintf(stderr, "%s\n", std::string(parsed.status().message()).c_str());
    return false;
  }
  *device = *parsed;
  return true;
}

}  // namespace pompc::bench

#endif  // POMPC_BENCH_DEVICE_FLAG_H_
