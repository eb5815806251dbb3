// The main program of kernel tests on a real GPU: without one they are skipped (4), with the reason.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "kernels/device.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const std::string missing = coxswain::missing_cuda_device(0);
  if (!missing.empty()) {
    std::printf("skipped: %s\n", missing.c_str());
    return 4;
  }
  return RUN_ALL_TESTS();
}
