# Target pompc_torch: LibTorch, to be linked PRIVATE. LibTorch's own package sets global compile flags and asks
# for CUDA toolkits; the imported targets it defines are all that is taken from it. From a LibTorch with CUDA not even
# these: its package insists on nvcc, and CUDA's headers are all that is needed.
foreach(folder ${CMAKE_PREFIX_PATH})
  foreach(root "${folder}" "${folder}/../..")
    if(EXISTS "${root}/share/cmake/Torch/TorchConfig.cmake" AND EXISTS "${root}/lib/libtorch_cuda.so")
      get_filename_component(POMPC_CUDA_TORCH "${root}" ABSOLUTE)
    endif()
  endforeach()
endforeach()
if(POMPC_CUDA_TORCH)
  # Those of a toolkit, or of the Python packages nvidia-cuda-runtime and nvidia-cuda-crt.
  file(GLOB cuda_folders "${POMPC_CUDA_TORCH}/../nvidia/cu*/include")
  find_path(POMPC_CUDA_INCLUDE crt/host_config.h HINTS ENV CUDA_HOME PATHS /usr/local/cuda ${cuda_folders}
            PATH_SUFFIXES include REQUIRED)
  set(TORCH_INCLUDE_DIRS "${POMPC_CUDA_TORCH}/include" "${POMPC_CUDA_TORCH}/include/torch/csrc/api/include"
      "${POMPC_CUDA_INCLUDE}")
  # The device registers itself when its library is loaded, whether a symbol is used or not.
  set(TORCH_LIBRARIES "-Wl,--no-as-needed")
  foreach(library torch torch_cpu torch_cuda c10 c10_cuda)
    list(APPEND TORCH_LIBRARIES "${POMPC_CUDA_TORCH}/lib/lib${library}.so")
  endforeach()
  list(APPEND TORCH_LIBRARIES "-Wl,--as-needed")
  set(POMPC_CUDA ON)
  message(STATUS "LibTorch with CUDA: ${POMPC_CUDA_TORCH}, headers in ${POMPC_CUDA_INCLUDE}")
else()
  find_package(Torch REQUIRED)
  set(POMPC_CUDA OFF)
endif()
# The LibTorch of the Python package brings headers of other libraries along, Protocol Buffers and fmt among them, in
# versions of its own. They must not hide those that pompc is built with, so only its own headers are shown.
set(torch_include_dirs "")
foreach(folder ${TORCH_INCLUDE_DIRS})
  if(EXISTS "${folder}/ATen" AND EXISTS "${folder}/google/protobuf")
    set(own "${PROJECT_BINARY_DIR}/torch-include")
    file(MAKE_DIRECTORY "${own}")
    foreach(part ATen c10 caffe2 torch)
      file(CREATE_LINK "${folder}/${part}" "${own}/${part}" SYMBOLIC)
    endforeach()
    set(folder "${own}")
  endif()
  list(APPEND torch_include_dirs "${folder}")
endforeach()
set(TORCH_INCLUDE_DIRS "${torch_include_dirs}")

add_library(pompc_torch INTERFACE)
# The standard library comes first: libtorch.so of the Python package has a std::filesystem of its own in it, older and of
# another layout, which programs would otherwise call.
target_link_libraries(pompc_torch INTERFACE stdc++ ${TORCH_LIBRARIES})
target_include_directories(pompc_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
separate_arguments(POMPC_TORCH_FLAGS UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(pompc_torch INTERFACE ${POMPC_TORCH_FLAGS})

# pompc_precompile_torch(TARGET...): they take LibTorch's headers, half of the time their files take, as pompc_model has
# compiled them. What they are compiled with must then be the same, so executables get a library's -fPIC too.
function(pompc_precompile_torch)
  foreach(target ${ARGN})
    target_precompile_headers(${target} REUSE_FROM pompc_model)
    target_compile_options(${target} PRIVATE ${POMPC_PRECOMPILED_FLAGS})
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "EXECUTABLE")
      target_compile_options(${target} PRIVATE -fPIC)
    endif()
  endforeach()
endfunction()

# Matrix products of model/kernels/ go to the same BLAS as LibTorch's (Debian links that dynamically).
find_library(POMPC_BLAS NAMES openblas blas REQUIRED)

# Several learner processes on one update take c10d with Gloo. Other LibTorchs hide it, or are built without; Gloo's own
# headers come in a package of their own.
include(CheckCXXSourceCompiles)
find_library(POMPC_GLOO_LIBRARY gloo)
set(CMAKE_REQUIRED_FLAGS "${TORCH_CXX_FLAGS} -std=c++20")
set(CMAKE_REQUIRED_DEFINITIONS -DUSE_C10D_GLOO)
set(CMAKE_REQUIRED_INCLUDES ${TORCH_INCLUDE_DIRS})
set(CMAKE_REQUIRED_LIBRARIES ${TORCH_LIBRARIES})
if(POMPC_GLOO_LIBRARY)
  list(APPEND CMAKE_REQUIRED_LIBRARIES ${POMPC_GLOO_LIBRARY})
endif()
check_cxx_source_compiles("
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
int main() {
  auto options = c10d::ProcessGroupGloo::Options::create(std::chrono::milliseconds(1));
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(\"127.0.0.1\"));
  c10d::ProcessGroupGloo group({}, 0, 1, options);
}" POMPC_GLOO)
# NCCL, between GPUs. Its header comes as the Python package nvidia-nccl, what else it includes as nvidia-cuda-cccl.
if(POMPC_CUDA)
  find_path(POMPC_NCCL_INCLUDE_DIR nccl.h HINTS "${POMPC_CUDA_TORCH}/../nvidia/nccl/include")
  set(CMAKE_REQUIRED_DEFINITIONS -DUSE_C10D_NCCL)
  list(APPEND CMAKE_REQUIRED_INCLUDES ${POMPC_NCCL_INCLUDE_DIR})
  check_cxx_source_compiles("
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
int main() { c10d::ProcessGroupNCCL group({}, 0, 1); }" POMPC_NCCL)
endif()
unset(CMAKE_REQUIRED_FLAGS)
unset(CMAKE_REQUIRED_DEFINITIONS)
unset(CMAKE_REQUIRED_INCLUDES)
unset(CMAKE_REQUIRED_LIBRARIES)
if(NOT POMPC_GLOO AND NOT POMPC_NCCL)
  message(STATUS "LibTorch's c10d with Gloo (package libgloo-dev) is not here: a learner is one process")
endif()
