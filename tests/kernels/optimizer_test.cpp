// AdamW against PyTorch's published formula in double, and two steps worked by hand.
#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::expect_close;
using testing::Host;

// One parameter, w = 1, gradient 0.5 then -1, rate 0.1, betas 0.9 and 0.99, decay 0.1, epsilon 0:
// step 1: w = 0.99; m = 0.05, v = 0.0025; m / 0.1 = 0.5, v / 0.01 = 0.25; w = 0.99 - 0.1 * 0.5 / 0.5 = 0.89
// step 2: w = 0.8811; m = 0.045 - 0.1 = -0.055, v = 0.002475 + 0.01 = 0.012475;
//         m / 0.19 = -0.28947368, v / 0.0199 = 0.62688442; w = 0.8811 + 0.1 * 0.28947368 / 0.79176033 = 0.91766080
TEST(AdamW, TwoStepsByHand) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<float> gradient({1}), master({1}), moment1({1}), moment2({1});
  Host<bf16> working({1});
  master[0] = 1;
  Backend::AdamW op{gradient, master, moment1, moment2, working, {}};
  op.step = {0.1f, 0.9f, 0.99f, 0.0f, 0.1f, 2.0f, 1};
  gradient[0] = 0.25f;  // the scale of 2 makes it 0.5
  backend->adamw(op);
  EXPECT_NEAR(master[0], 0.89f, 1e-6);
  EXPECT_NEAR(moment1[0], 0.05f, 1e-7);
  EXPECT_NEAR(moment2[0], 0.0025f, 1e-8);
  gradient[0] = -0.5f;
  op.step.step = 2;
  backend->adamw(op);
  EXPECT_NEAR(master[0], 0.91766080f, 2e-6);
  EXPECT_EQ(working[0].bits, bf16(master[0]).bits);
}

TEST(AdamW, FollowsTheFormulaAndKeepsItsBits) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const std::int64_t n = 40001;  // a tail, and more than one thread's share
  const AdamWStep step{3e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.7f, 5};
  Host<float> first;
  testing::on_one_and_two_threads([&](int threads) {
    Host<float> gradient = Host<float>::random({n}, 1), master = Host<float>::random({n}, 2);
    Host<float> moment1 = Host<float>::random({n}, 3, 0.1), moment2 = Host<float>::random({n}, 4, 0.1);
    for (float& v : moment2.values()) v = std::abs(v);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < n; ++i) {
      const double g = gradient.at(i) * 0.7f;
      const double m = 0.9f * moment1.at(i) + (1 - 0.9f) * g, v = 0.95f * moment2.at(i) + (1 - 0.95f) * g * g;
      const double corrected1 = m / (1 - std::pow(0.9f, 5.0)), corrected2 = v / (1 - std::pow(0.95f, 5.0));
      expected.push_back(master.at(i) * (1 - 3e-3f * 0.1f) - 3e-3f * corrected1 / (std::sqrt(corrected2) + 1e-8f));
    }
    backend->adamw({gradient, master, moment1, moment2, {}, step});
    expect_close(master, expected, 1e-6, "master");
    if (threads == 1) first = master;
    EXPECT_TRUE(master.same_bits(first));
  });
}

}  // namespace
}  // namespace coxswain
