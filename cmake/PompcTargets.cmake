# The few functions every folder's CMakeLists.txt uses, in this order: library, protos, binary; tests register
# themselves in tests/.

# pompc_unite(TARGET): its sources are compiled eight at a time as if they were one file, because most of the time that a
# file takes goes into the headers it includes. Sources with compile options of their own are compiled alone.
function(pompc_unite target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${POMPC_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  if(POMPC_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # It takes what is local to a source for what is local to a header, because the united file includes the source.
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
  endif()
endfunction()

# pompc_library(NAME SOURCES a.cc b.h ... [DEPS targets that appear in public headers] [PRIVATE_DEPS targets])
function(pompc_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC pompc_options ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  pompc_unite(${name})
endfunction()

# pompc_binary(NAME SOURCES main.cc DEPS targets): an executable in <build>/bin.
function(pompc_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE pompc_options ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# pompc_protos(NAME SUFFIX .pb|.grpc.pb PROTOS a.proto ... FLAGS flags of protoc DEPS targets): what protoc makes of
# them, included as "proto/a.pb.h" or "proto/a.grpc.pb.h".
function(pompc_protos name)
  cmake_parse_arguments(ARG "" "SUFFIX" "PROTOS;FLAGS;DEPS" ${ARGN})
  set(out "${PROJECT_BINARY_DIR}/generated")
  file(MAKE_DIRECTORY "${out}")
  set(generated)
  foreach(proto ${ARG_PROTOS})
    string(REGEX REPLACE "\\.proto$" "${ARG_SUFFIX}" stem "${proto}")
    set(files "${out}/proto/${stem}.cc" "${out}/proto/${stem}.h")
    add_custom_command(OUTPUT ${files}
      COMMAND protobuf::protoc ${ARG_FLAGS} -I ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/proto/${proto}
      WORKING_DIRECTORY "${out}" DEPENDS "${PROJECT_SOURCE_DIR}/proto/${proto}" VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  add_library(${name} STATIC ${generated})
  target_include_directories(${name} SYSTEM PUBLIC "${out}")
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
endfunction()

# pompc_test_headers(NAME TARGETS targets HEADERS headers): headers that tests take precompiled.
function(pompc_test_headers name)
  cmake_parse_arguments(ARG "" "" "TARGETS;HEADERS" ${ARGN})
  # A target with precompiled headers must have a source.
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.cc")
  file(GENERATE OUTPUT "${source}" CONTENT "")
  add_library(${name} OBJECT "${source}")
  target_link_libraries(${name} PRIVATE pompc_options GTest::gmock ${ARG_TARGETS})
  target_precompile_headers(${name} PRIVATE <gmock/gmock.h> <gtest/gtest.h> ${ARG_HEADERS})
  target_compile_options(${name} PRIVATE ${POMPC_TEST_FLAGS})
endfunction()

# pompc_test(path/name_test SOURCES name_test.cc DEPS targets [TORCH] [LABELS labels] [TIMEOUT s]): a GoogleTest binary,
# registered with ctest under its path. TORCH where its sources include LibTorch's headers.
function(pompc_test name)
  cmake_parse_arguments(ARG "TORCH" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  string(REPLACE "/" "_" target "${name}")
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE pompc_options ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE
    POMPC_SOURCE_DIR="${PROJECT_SOURCE_DIR}" POMPC_FIXTURES_DIR="${POMPC_FIXTURES_DIR}"
    POMPC_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  # The headers of GoogleTest and gRPC would take half of the time that a test takes to compile.
  set(headers pompc_test_headers)
  if(ARG_TORCH)
    set(headers pompc_torch_test_headers)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${headers})
  target_compile_options(${target} PRIVATE ${POMPC_TEST_FLAGS})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 180)
  endif()
  add_test(NAME ${name} COMMAND ${target})
  # Threads of one operation wait for one another by spinning: where the cores are busy that takes minutes.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
                       ENVIRONMENT "OMP_NUM_THREADS=1;OPENBLAS_NUM_THREADS=1")
endfunction()

# pompc_script_test(path/name_test SCRIPT [ARGUMENTS...] [LABELS labels] [TIMEOUT s]): a Python test, registered with
# ctest under its path. Exit code 77 counts as skipped.
function(pompc_script_test name script)
  cmake_parse_arguments(ARG "" "TIMEOUT" "ARGUMENTS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 180)
  endif()
  add_test(NAME ${name} COMMAND Python3::Interpreter "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${ARG_ARGUMENTS})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77
                       ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endfunction()

# pompc_camel_case(ball_in_cup RESULT): BallInCup.
function(pompc_camel_case name result)
  string(REPLACE "_" ";" words "${name}")
  set(camel)
  foreach(word ${words})
    string(SUBSTRING "${word}" 0 1 initial)
    string(SUBSTRING "${word}" 1 -1 rest)
    string(TOUPPER "${initial}" initial)
    string(APPEND camel "${initial}${rest}")
  endforeach()
  set(${result} "${camel}" PARENT_SCOPE)
endfunction()

# pompc_list_header(HEADER MACRO names): a generated header, included by that path, in which MACRO(APPLY) is
# APPLY(CamelCase) of each name in turn. A list that C++ and CMake both need then stands in CMake alone.
function(pompc_list_header header macro)
  set(content "// Generated from the list in ${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt.\n#pragma once\n\n#define ${macro}(APPLY)")
  string(REPLACE "${PROJECT_SOURCE_DIR}/" "" content "${content}")
  foreach(name ${ARGN})
    pompc_camel_case(${name} camel)
    string(APPEND content " \\\n  APPLY(${camel})")
  endforeach()
  # Left alone if it is the same, so that nothing is compiled again.
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/${header}" CONTENT "${content}\n" @ONLY)
endfunction()
