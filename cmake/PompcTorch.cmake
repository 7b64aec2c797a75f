# Target pompc_torch: LibTorch, to be linked PRIVATE. LibTorch's own package sets global compile flags and asks
# for CUDA toolkits; the imported targets it defines are all that is taken from it.
find_package(Torch REQUIRED)
add_library(pompc_torch INTERFACE)
target_link_libraries(pompc_torch INTERFACE ${TORCH_LIBRARIES})
target_include_directories(pompc_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
separate_arguments(POMPC_TORCH_FLAGS UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(pompc_torch INTERFACE ${POMPC_TORCH_FLAGS})
# Matrix products of model/kernels/ go to the same BLAS as LibTorch's (Debian links that dynamically).
find_library(POMPC_BLAS NAMES openblas blas REQUIRED)
