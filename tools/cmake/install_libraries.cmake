# Run by `cmake --install` for a bundle: Open MPI with its plug-ins, then every shared library that a program of the tree or a
# plug-in wants, but for the C library's own and the driver's, and the licences of all of them.
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
    file(INSTALL ${real} DESTINATION ${prefix}/libexec/coxswain TYPE PROGRAM RENAME ${program})
    list(APPEND programs ${real})
  endforeach()
  file(GLOB modules ${plugins}/*.so)
  file(INSTALL ${modules} DESTINATION ${prefix}/openmpi/plugins)
  file(INSTALL ${texts}/ DESTINATION ${prefix}/openmpi/share FOLLOW_SYMLINK_CHAIN)
else()
  message(WARNING "no ompi_info: the bundle has no Open MPI, and only one rank can run where there is none")
endif()

file(GET_RUNTIME_DEPENDENCIES
  EXECUTABLES ${programs}
  MODULES ${modules}
  RESOLVED_DEPENDENCIES_VAR libraries
  UNRESOLVED_DEPENDENCIES_VAR unresolved
  CONFLICTING_DEPENDENCIES_PREFIX conflicting
  PRE_EXCLUDE_REGEXES "^ld-linux.*" "^lib(c|m|dl|rt|util|pthread|resolv)\\.so.*" "^libcuda\\.so.*")
foreach(name ${conflicting_FILENAMES})  # of one name in several places: the first
  list(GET conflicting_${name} 0 library)
  list(APPEND libraries ${library})
endforeach()
foreach(library ${libraries})
  if(library MATCHES "libcublasLt")  # which opens these by name, when it compiles a product of its own
    get_filename_component(cuda ${library} DIRECTORY)
    file(GLOB compilers ${cuda}/libnvrtc.so.* ${cuda}/libnvrtc-builtins.so.*)
    list(APPEND libraries ${compilers})
  endif()
endforeach()
file(INSTALL ${libraries} DESTINATION ${prefix}/lib FOLLOW_SYMLINK_CHAIN)
if(unresolved)
  message(STATUS "Not in the bundle, since it is not on this machine: ${unresolved}")
endif()

# Of Debian's packages, and of CUDA's as its installer or its wheels leave them.
set(licences ${prefix}/share/licences)
foreach(file ${libraries} ${modules} ${programs})
  file(REAL_PATH ${file} real)
  string(REGEX REPLACE "^/usr/" "/" short ${real})  # as some packages still have it
  list(APPEND names ${real} ${short})
endforeach()
if(dpkg_query)
  execute_process(COMMAND ${dpkg_query} -S ${names} OUTPUT_VARIABLE owners ERROR_QUIET)
  string(REGEX MATCHALL "[^\n:, ]+(:[a-z0-9]+)?: /" owners "${owners}")
  list(TRANSFORM owners REPLACE ":.*" "")
  list(REMOVE_DUPLICATES owners)
  foreach(package ${owners})
    if(EXISTS /usr/share/doc/${package}/copyright)
      file(INSTALL /usr/share/doc/${package}/copyright DESTINATION ${licences} RENAME ${package} FOLLOW_SYMLINK_CHAIN)
    endif()
  endforeach()
endif()
if(cuda)
  file(GLOB texts ${cuda}/../EULA.txt ${cuda}/../../../EULA.txt)
  file(GLOB of_wheels ${cuda}/../dist-info/nvidia_*/licenses/* ${cuda}/../../../nvidia_*.dist-info/licenses/*)
  foreach(text ${texts} ${of_wheels})
    string(REGEX REPLACE ".*/(nvidia_[a-z_]*[0-9]*)-[^/]*/licenses/" "\\1-" name ${text})
    get_filename_component(name ${name} NAME)
    if(NOT text MATCHES "nvidia_" OR text MATCHES "nvidia_(cublas|nccl|cuda_nvrtc|cuda_runtime)")
      file(INSTALL ${text} DESTINATION ${licences} RENAME ${name})
    endif()
  endforeach()
endif()
