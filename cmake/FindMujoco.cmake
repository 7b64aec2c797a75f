# Target Mujoco::mujoco from MUJOCO_ROOT (a release folder) or the system. Debian's own CMake package is not
# used: it asks for OpenGL or Qhull development files that a headless build does not need.
find_path(Mujoco_INCLUDE_DIR mujoco/mujoco.h HINTS "${MUJOCO_ROOT}/include" "$ENV{MUJOCO_ROOT}/include")
find_library(Mujoco_LIBRARY mujoco HINTS "${MUJOCO_ROOT}/lib" "$ENV{MUJOCO_ROOT}/lib")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Mujoco REQUIRED_VARS Mujoco_LIBRARY Mujoco_INCLUDE_DIR)
if(Mujoco_FOUND AND NOT TARGET Mujoco::mujoco)
  add_library(Mujoco::mujoco UNKNOWN IMPORTED)
  set_target_properties(Mujoco::mujoco PROPERTIES IMPORTED_LOCATION "${Mujoco_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${Mujoco_INCLUDE_DIR}")
endif()
