# cmake --install build/release --prefix DIR: a tree that can be moved. bin/coxswain; share/coxswain with decks, job scripts
# and documentation. Libraries of other prefixes (Spack, modules) stay found by their own paths.
#
# -DCOXSWAIN_BUNDLE=ON: a tree for a machine that has nothing but a GPU's driver and a C library that is not older than this
# one's (CoxswainBundle.cmake). There the programs lie in libexec, and bin has scripts that tell them where all else is.
option(COXSWAIN_BUNDLE "Install tests for GPUs and all shared libraries too" OFF)

if(COXSWAIN_BUNDLE)
  set(COXSWAIN_PROGRAM_FOLDER libexec/coxswain)
  set(CMAKE_INSTALL_RPATH "$ORIGIN/../../lib")
  add_link_options(-Wl,--disable-new-dtags)  # the libraries' own libraries are found by that path too
else()
  set(COXSWAIN_PROGRAM_FOLDER bin)
  set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib")
  set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
endif()
install(DIRECTORY inputs DESTINATION share/coxswain)
install(DIRECTORY jobs/slurm DESTINATION share/coxswain/jobs USE_SOURCE_PERMISSIONS)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION share/coxswain)
