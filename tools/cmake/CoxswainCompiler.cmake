# What presets switch on beside the build type: sanitizers. Fills the target coxswain_options, which all code uses.

option(COXSWAIN_SANITIZE "Address and undefined-behaviour sanitizers" OFF)

if(COXSWAIN_SANITIZE)
  set(flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_compile_options(coxswain_options INTERFACE ${flags})
  target_link_options(coxswain_options INTERFACE ${flags})
endif()
