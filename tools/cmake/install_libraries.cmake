# Run by `cmake --install` for a bundle: Open MPI with its plug-ins, then every shared library that a program of the tree or a
# plug-in wants, but for the C library's own and the driver's.
set(prefix $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX})

function(ask_open_mpi what result)
  execute_process(COMMAND ${ompi_info} --parsable --path ${what} OUTPUT_VARIABLE text ERROR_QUIET)
  string(REGEX REPLACE ".*path:${what}:([^\n]*).*" "\\1" text "${text}")
  set(${result} ${text} PARENT_SCOPE)
endfunction()

if(ompi_info)
  ask_open_mpi(bindir binaries)
  ask_open_mpi(pkglibdir plugins)
  ask_open_mpi(pkgdatadir texts)
  foreach(program mpirun orted)
    file(REAL_PATH ${binaries}/${program} real)
    get_filename_component(name ${real} NAME)
    file(INSTALL ${real} DESTINATION ${prefix}/bin TYPE PROGRAM RENAME ${program})
  endforeach()
  file(GLOB modules ${plugins}/*.so)
  file(INSTALL ${modules} DESTINATION ${prefix}/openmpi/plugins)
  file(INSTALL ${texts}/ DESTINATION ${prefix}/openmpi/share FOLLOW_SYMLINK_CHAIN)
else()
  message(WARNING "no ompi_info: the bundle has no Open MPI, and only one rank can run where there is none")
endif()

file(GLOB programs ${prefix}/bin/* ${prefix}/libexec/coxswain/*)
file(GET_RUNTIME_DEPENDENCIES
  EXECUTABLES ${programs}
  MODULES ${modules}
  RESOLVED_DEPENDENCIES_VAR libraries
  UNRESOLVED_DEPENDENCIES_VAR unresolved
  CONFLICTING_DEPENDENCIES_PREFIX conflicting
  PRE_EXCLUDE_REGEXES "^ld-linux.*" "^lib(c|m|dl|rt|util|pthread|resolv)\\.so.*" "^libcuda\\.so.*")
file(INSTALL ${libraries} DESTINATION ${prefix}/lib FOLLOW_SYMLINK_CHAIN)
foreach(name ${conflicting_FILENAMES})  # of one name in several places: the first
  list(GET conflicting_${name} 0 library)
  file(INSTALL ${library} DESTINATION ${prefix}/lib FOLLOW_SYMLINK_CHAIN)
endforeach()
if(unresolved)
  message(STATUS "Not in the bundle, since it is not on this machine: ${unresolved}")
endif()
