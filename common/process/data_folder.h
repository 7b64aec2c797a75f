#ifndef POMPC_COMMON_PROCESS_DATA_FOLDER_H_
#define POMPC_COMMON_PROCESS_DATA_FOLDER_H_

#include <string>

namespace pompc {

// Returns the folder of files that are installed with the programs, such as the presets. `source`
// names it in the source tree, as in "bench/learning/published". It is $`variable` if that is set,
// else ../share/pompc/ and the last part of `source` beside the program's folder if that exists,
// else `source` in the source tree that the program was built from.
std::string DataFolder(const char* variable, const std::string& source);

}  // namespace pompc

#endif  // POMPC_COMMON_PROCESS_DATA_FOLDER_H_
