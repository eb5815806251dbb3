// Which backend a build without CUDA takes, and what it says.
#include "program/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace coxswain {

namespace {

TEST(DeviceChoice, WithoutCudaThereIsNothingToSay) {
  if (cuda_is_built_in()) GTEST_SKIP() << "this build has the CUDA backend";
  const auto world = make_planned_communicator(0, 1);
  for (const DeviceKind kind : {DeviceKind::cpu, DeviceKind::automatic}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(choose_backend({.kind = kind}, *world)->name(), "cpu");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  }
}

TEST(DeviceChoice, WithoutCudaItCannotBeAskedFor) {
  if (cuda_is_built_in()) GTEST_SKIP() << "this build has the CUDA backend";
  const auto world = make_planned_communicator(0, 1);
  try {
    choose_backend({.kind = DeviceKind::cuda}, *world);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("this build has no CUDA backend"));
  }
}

}  // namespace

}  // namespace coxswain
