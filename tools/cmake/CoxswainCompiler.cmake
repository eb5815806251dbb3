# What presets switch on beside the build type: sanitizers, CUDA. Fills the target coxswain_options, which all code uses.

option(COXSWAIN_SANITIZE "Address and undefined-behaviour sanitizers" OFF)
option(COXSWAIN_CUDA "Build the CUDA backend" OFF)

if(COXSWAIN_SANITIZE)
  set(flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_compile_options(coxswain_options INTERFACE ${flags})
  target_link_options(coxswain_options INTERFACE ${flags})
endif()

if(COXSWAIN_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
  endif()
  file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
  if(NOT cuda_sources)
    message(STATUS "COXSWAIN_CUDA: this version has no CUDA backend (kernels/cuda is empty); the program will run on the CPU")
  elseif(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "CUDA compiler (nvcc) is missing. Load the site's CUDA module or put nvcc into PATH, or use the preset "
                        "`release`.   Spack: spack install cuda")
  endif()
endif()
