# Language level, warnings, sanitizers.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
# Release keeps assertions out but symbols' line tables in: stack traces from the field stay readable.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(POMPC_CCACHE ccache)
if(POMPC_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Precompiled headers are cached only if it may overlook macros that a header does not use.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${POMPC_CCACHE}")
endif()

add_library(pompc_options INTERFACE)
target_include_directories(pompc_options INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")
# -pthread everywhere: precompiled headers are taken by those alone that are compiled alike.
target_compile_options(pompc_options INTERFACE -pthread -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(pompc_options INTERFACE -Wthread-safety -Werror=thread-safety)
endif()

if(POMPC_SANITIZE STREQUAL "address")
  # vptr: its check opens a pipe, which tests leave no descriptor for.
  # -O0 compiles a third faster than -O1, and compiling is most of this leg's time.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
                      -fno-omit-frame-pointer -g1 -O0)
  add_link_options(-fsanitize=address,undefined)
elseif(POMPC_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=thread)
elseif(POMPC_SANITIZE STREQUAL "fuzzer")
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "POMPC_SANITIZE=fuzzer: libFuzzer is part of clang (CMAKE_CXX_COMPILER=clang++)")
  endif()
  # Coverage of every file, which guides the search; libFuzzer's main is linked to the targets alone.
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=vptr,function
                      -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -O1)
  add_link_options(-fsanitize=address,undefined)
elseif(POMPC_SANITIZE)
  message(FATAL_ERROR "POMPC_SANITIZE=${POMPC_SANITIZE}: allowed values are address, thread, fuzzer or empty")
endif()

# What ccache asks for where headers are precompiled.
set(POMPC_PRECOMPILED_FLAGS
    $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess> "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
# Tests are compiled without optimisation, which takes half of the time; what they test is optimised.
set(POMPC_TEST_FLAGS ${POMPC_PRECOMPILED_FLAGS} -O0)
