# Target Mujoco::mujoco from MUJOCO_ROOT (a release folder, or that of the Python package) or the system. Debian's own
# CMake package is not used: it asks for OpenGL or Qhull development files that a headless build does not need.
find_path(Mujoco_INCLUDE_DIR mujoco/mujoco.h HINTS "${MUJOCO_ROOT}/include" "$ENV{MUJOCO_ROOT}/include")
# The Python package has the library under its full name only, beside its modules.
set(Mujoco_NAMES mujoco)
foreach(root IN ITEMS ${MUJOCO_ROOT} $ENV{MUJOCO_ROOT})
  file(GLOB Mujoco_PACKAGED RELATIVE "${root}" "${root}/libmujoco.so.*")
  list(APPEND Mujoco_NAMES ${Mujoco_PACKAGED})
endforeach()
find_library(Mujoco_LIBRARY NAMES ${Mujoco_NAMES} NAMES_PER_DIR
             HINTS "${MUJOCO_ROOT}/lib" "${MUJOCO_ROOT}" "$ENV{MUJOCO_ROOT}/lib" "$ENV{MUJOCO_ROOT}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Mujoco REQUIRED_VARS Mujoco_LIBRARY Mujoco_INCLUDE_DIR)
if(Mujoco_FOUND AND NOT TARGET Mujoco::mujoco)
  add_library(Mujoco::mujoco UNKNOWN IMPORTED)
  set_target_properties(Mujoco::mujoco PROPERTIES IMPORTED_LOCATION "${Mujoco_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${Mujoco_INCLUDE_DIR}")
endif()
