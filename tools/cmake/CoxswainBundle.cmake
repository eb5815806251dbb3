# -DCOXSWAIN_BUNDLE=ON: `cmake --install` makes a tree for a machine that has nothing but a GPU's driver and a C library that is
# not older than this one's. Beside what every installation has: the kernel tests for a GPU (or, of a build without CUDA, the
# ones on the emulated GPU), tools/gpu_check.sh, all shared libraries, and Open MPI with its plug-ins.
option(COXSWAIN_BUNDLE "Install tests for GPUs and all shared libraries too" OFF)
if(NOT COXSWAIN_BUNDLE)
  return()
endif()

if(COXSWAIN_CUDA)
  set(tests_of cuda)
else()
  set(tests_of emulated)
  install(TARGETS coxswain_emulated RUNTIME DESTINATION libexec/coxswain)
  set_target_properties(coxswain_emulated PROPERTIES INSTALL_RPATH "$ORIGIN/../../lib")
endif()
get_property(all_targets DIRECTORY tests/emulation PROPERTY BUILDSYSTEM_TARGETS)
get_property(more_targets DIRECTORY tests PROPERTY BUILDSYSTEM_TARGETS)
foreach(target ${all_targets} ${more_targets})
  if(target MATCHES "^${tests_of}_.*_test$")
    install(TARGETS ${target} RUNTIME DESTINATION libexec/coxswain)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/../../lib")
  endif()
endforeach()
install(PROGRAMS tools/gpu_check.sh tools/environment.sh DESTINATION share/coxswain/tools)

find_program(COXSWAIN_OMPI_INFO ompi_info)
install(CODE "set(ompi_info \"${COXSWAIN_OMPI_INFO}\")")
install(SCRIPT ${CMAKE_SOURCE_DIR}/tools/cmake/install_libraries.cmake)
