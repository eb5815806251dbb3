# cmake --install build/release --prefix DIR: a tree that can be moved. bin/coxswain; share/coxswain with decks, job scripts
# and documentation. Libraries of other prefixes (Spack, modules) stay found by their own paths.

set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
install(DIRECTORY inputs DESTINATION share/coxswain)
install(DIRECTORY jobs/slurm DESTINATION share/coxswain/jobs USE_SOURCE_PERMISSIONS)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION share/coxswain)
