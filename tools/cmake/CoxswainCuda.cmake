# The CUDA backend (kernels/cuda) in coxswain_kernels: by nvcc (COXSWAIN_CUDA), or as ordinary C++ on the emulation of
# tests/emulation (COXSWAIN_EMULATED). Without either the program runs on the CPU, and the tests still run the backend's
# sources on the emulation.

option(COXSWAIN_CUDA "Build the CUDA backend" OFF)
option(COXSWAIN_EMULATED "Build the CUDA backend on the emulation of a GPU, for tests of the whole program" OFF)

option(COXSWAIN_NCCL "Let tensors of GPUs travel by NCCL, where it is installed" ON)

file(GLOB COXSWAIN_CUDA_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
# What speaks with NCCL (src/parallel): belongs to the backend's build, or stays out of it.
file(GLOB COXSWAIN_NCCL_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/parallel/nccl_*.cpp)
list(FILTER COXSWAIN_NCCL_SOURCES EXCLUDE REGEX "nccl_left_out")
set(COXSWAIN_HAS_NCCL OFF)
# As for the CPU's kernels: what is added to a product says so, and nothing else is contracted.
set(COXSWAIN_KERNEL_FLAGS -ffp-contract=off -fno-math-errno -fno-trapping-math)
if(COXSWAIN_NATIVE)
  list(APPEND COXSWAIN_KERNEL_FLAGS -march=native -mprefer-vector-width=512)
endif()

if(COXSWAIN_CUDA AND COXSWAIN_EMULATED)
  message(FATAL_ERROR "COXSWAIN_CUDA and COXSWAIN_EMULATED: a build has the one or the other")
elseif(COXSWAIN_CUDA)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)  # where the toolkit's own installer puts it
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90a 100)
  endif()
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER OR (IS_ABSOLUTE "${CMAKE_CUDA_COMPILER}" AND NOT EXISTS "${CMAKE_CUDA_COMPILER}"))
    message(FATAL_ERROR "CUDA compiler (nvcc) is missing. Load the site's CUDA module or put nvcc into PATH, or use the preset "
                        "`release`.   Spack: spack install cuda")
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know it of nvcc
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set_target_properties(coxswain_kernels PROPERTIES CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
  find_package(CUDAToolkit REQUIRED)
  target_sources(coxswain_kernels PRIVATE ${COXSWAIN_CUDA_SOURCES})
  target_link_libraries(coxswain_kernels PUBLIC CUDA::cudart_static CUDA::cublasLt)
  if(COXSWAIN_NCCL)
    list(APPEND CMAKE_INCLUDE_PATH ${CUDAToolkit_INCLUDE_DIRS})
    list(APPEND CMAKE_LIBRARY_PATH ${CUDAToolkit_LIBRARY_DIR})
    coxswain_find_library(NCCL::nccl nccl.h nccl)
    set(COXSWAIN_HAS_NCCL ${NCCL__nccl_FOUND})
  endif()
  if(COXSWAIN_HAS_NCCL)
    message(STATUS "NCCL: ${NCCL__nccl_LIBRARY}")
  else()
    message(STATUS "Without NCCL: between GPUs tensors travel through memory of the host, slowly, and device.communication "
                   "= nccl will be refused. Debian/Ubuntu (NVIDIA's repository): apt-get install libnccl-dev   Spack: "
                   "spack install nccl")
  endif()
elseif(COXSWAIN_EMULATED)
  set_source_files_properties(${COXSWAIN_CUDA_SOURCES} PROPERTIES LANGUAGE CXX)
  target_sources(coxswain_kernels PRIVATE ${COXSWAIN_CUDA_SOURCES})
  target_link_libraries(coxswain_kernels PUBLIC cuda_emulation)  # tests/emulation
  set(COXSWAIN_HAS_NCCL ${COXSWAIN_NCCL})
else()
  target_sources(coxswain_kernels PRIVATE ${CMAKE_SOURCE_DIR}/kernels/cuda_left_out.cpp)
  message(STATUS "Without the CUDA backend: device.kind = cuda will be refused (preset `cuda` builds it with nvcc)")
endif()
