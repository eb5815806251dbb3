// The emulated NCCL: operations of streams that run later, and mistakes that it must not let pass. One rank talks to
// itself; ranks in several processes are tested with the communicator (nccl.np1.np2.np4_test.cpp).
#include <gtest/gtest.h>
#include <nccl.h>

#include <set>
#include <vector>

#include "tests/emulation/emulated_device.h"

namespace cuda_emulation {
namespace {

constexpr std::size_t kBytes = 32 * sizeof(float);

ncclComm_t alone() {
  ncclComm_t communicator = nullptr;
  ncclUniqueId identity;
  EXPECT_EQ(ncclGetUniqueId(&identity), ncclSuccess);
  EXPECT_EQ(ncclCommInitRank(&communicator, 1, identity, 0), ncclSuccess);
  return communicator;
}

void send_to_self(const EmulatedDevice& device, const void* from, std::size_t sent, void* to, std::size_t received) {
  const ncclComm_t communicator = alone();
  ncclGroupStart();
  ncclSend(from, sent, ncclUint8, 0, communicator, device.stream());
  ncclRecv(to, received, ncclUint8, 0, communicator, device.stream());
  ncclGroupEnd();
  device.synchronize();
  ncclCommDestroy(communicator);
}

// These run first, in processes of their own: the emulation's thread does not live on in a copy of this one.
TEST(NcclDeathTest, RefusesMemoryOfTheHost) {
  std::vector<float> values(32);
  EXPECT_EXIT(
      {
        EmulatedDevice device(1);
        send_to_self(device, values.data(), kBytes, device.allocate<float>(32), kBytes);
      },
      testing::ExitedWithCode(70), "ncclSend of 128 bytes to rank 0 is not inside one allocation of the device");
}

TEST(NcclDeathTest, RefusesMoreThanThereIs) {
  EXPECT_EXIT(
      {
        EmulatedDevice device(1);
        send_to_self(device, device.allocate<float>(32), kBytes, device.allocate<float>(16), kBytes);
      },
      testing::ExitedWithCode(70), "ncclSend of 128 bytes from rank 0 is not inside one allocation");
}

TEST(NcclDeathTest, SeesPiecesThatDoNotFitEachOther) {
  EXPECT_EXIT(
      {
        EmulatedDevice device(1);
        send_to_self(device, device.allocate<float>(32), kBytes, device.allocate<float>(32), kBytes / 2);
      },
      testing::ExitedWithCode(70), "ncclSend of 64 bytes from rank 0 meets a ncclSend of 128 bytes");
}

TEST(NcclDeathTest, SeesMemoryThatWasFreed) {
  EXPECT_EXIT(
      {
        EmulatedDevice device(1);
        const ncclComm_t communicator = alone();
        float* memory = device.allocate<float>(32);
        ncclGroupStart();
        ncclSend(memory, kBytes, ncclUint8, 0, communicator, device.stream());
        cudaFree(memory);
        ncclGroupEnd();
        device.synchronize();
      },
      testing::ExitedWithCode(70), "memory that was freed meanwhile");
}

TEST(NcclDeathTest, SeesAGroupThatNobodyBegan) {
  EXPECT_EXIT(ncclGroupEnd(), testing::ExitedWithCode(70), "ncclGroupEnd without ncclGroupStart");
}

TEST(NcclDeathTest, SeesACommunicatorThatIsEndedTooEarly) {
  EXPECT_EXIT(
      {
        EmulatedDevice device(1);
        const ncclComm_t communicator = alone();
        ncclRecv(device.allocate<float>(32), kBytes, ncclUint8, 0, communicator, device.stream());
        ncclCommDestroy(communicator);
      },
      testing::ExitedWithCode(70), "ncclCommDestroy while an operation is under way");
}

TEST(Nccl, MovesWhatTheStreamHasMade) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    EmulatedDevice device(seed);
    float *from = device.upload(std::vector<float>(32, 3.0f)), *to = device.allocate<float>(32);
    send_to_self(device, from, kBytes, to, kBytes);
    EXPECT_EQ(device.download(to, 32), std::vector<float>(32, 3.0f)) << "seed " << seed;
  }
}

// Another stream that does not wait finds what was there, or no number; in no order what it should.
TEST(Nccl, RunsWhenTheStreamGetsThere) {
  std::set<float> seen;
  for (std::uint64_t seed = 1; seed <= 40; seed += 2) {
    EmulatedDevice device(seed);
    cudaStream_t other = nullptr;
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    float *from = device.upload(std::vector<float>(32, 3.0f)), *to = device.upload(std::vector<float>(32, 1.0f));
    device.synchronize();
    const ncclComm_t communicator = alone();
    ncclGroupStart();
    ncclSend(from, kBytes, ncclUint8, 0, communicator, other);
    ncclRecv(to, kBytes, ncclUint8, 0, communicator, other);
    ncclGroupEnd();
    const float value = device.download(to, 1)[0];
    seen.insert(value == value ? value : -1.0f);
    cudaStreamSynchronize(other);
    ncclCommDestroy(communicator);
  }
  EXPECT_EQ(seen.count(1.0f), 1u);
  EXPECT_GT(seen.size(), 1u);
}

TEST(Nccl, RefusesRanksThatAreNot) {
  EmulatedDevice device(1);
  const ncclComm_t communicator = alone();
  EXPECT_EQ(ncclSend(device.allocate<float>(1), 4, ncclUint8, 1, communicator, device.stream()), ncclInvalidArgument);
  ncclCommDestroy(communicator);
}

}  // namespace
}  // namespace cuda_emulation
