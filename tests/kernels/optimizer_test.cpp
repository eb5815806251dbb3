// AdamW against PyTorch's published formula in double, two steps worked by hand, and what a step may do.
#include <limits>

#include "kernels/clipping.h"
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
  Host<double> scale({1});
  master[0] = 1, scale[0] = 2;
  Backend::AdamW op{gradient, scale, master, moment1, moment2, working, {}};
  op.step = {0.1f, 0.9f, 0.99f, 0.0f, 0.1f, 1};
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
  const AdamWStep step{3e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 5};
  Host<double> scale({1});
  scale[0] = 0.7;
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
    backend->adamw({gradient, scale, master, moment1, moment2, {}, step});
    expect_close(master, expected, 1e-6, "master");
    if (threads == 1) first = master;
    EXPECT_TRUE(master.same_bits(first));
  });
}

// Of a scale below zero, and of one that is no number, nothing changes: gradients that are no numbers do not matter.
TEST(AdamW, LeavesASkippedStepOut) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const std::int64_t n = 1037;
  const Host<float> master = Host<float>::random({n}, 1), moment1 = Host<float>::random({n}, 2);
  const Host<float> moment2 = Host<float>::random({n}, 3);
  const Host<bf16> working = Host<bf16>::random({n}, 4);
  Host<float> gradient = Host<float>::random({n}, 5);
  gradient[7] = std::numeric_limits<float>::quiet_NaN();
  for (const double scale : {Clipping::kSkipped, std::numeric_limits<double>::quiet_NaN()}) {
    Host<float> w = master, m = moment1, v = moment2;
    Host<bf16> rounded = working;
    Host<double> given({1});
    given[0] = scale;
    backend->adamw({gradient, given, w, m, v, rounded, {0.1f, 0.9f, 0.95f, 1e-8f, 0.1f, 3}});
    EXPECT_TRUE(w.same_bits(master) && m.same_bits(moment1) && v.same_bits(moment2) && rounded.same_bits(working));
    given[0] = 0;  // a step all the same: moments fall, weights decay
    backend->adamw({gradient, given, w, m, v, rounded, {0.1f, 0.9f, 0.95f, 1e-8f, 0.1f, 3}});
    EXPECT_NEAR(m.at(0), 0.9 * moment1.at(0), 1e-7);
    EXPECT_FALSE(w.same_bits(master) || rounded.same_bits(working));
  }
}

struct ClipCase {
  double squares, loss, limit, norm, scale;
};

TEST(Clip, FollowsItsFormula) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const double infinite = std::numeric_limits<double>::infinity(), none = std::numeric_limits<double>::quiet_NaN();
  for (const ClipCase& one : std::vector<ClipCase>{{9, 2, 1, 3, 1 / (3 + 1e-6)},
                                                   {9, -2, 0, 3, 1},  // no limit
                                                   {9, 2, 3.5, 3, 1},
                                                   {9, 2, 3.0000005, 3, 3.0000005 / (3 + 1e-6)},
                                                   {0, 0, 1, 0, 1},
                                                   {9, none, 1, 3, Clipping::kSkipped},
                                                   {9, -infinite, 0, 3, Clipping::kSkipped},
                                                   {none, 2, 1, none, Clipping::kSkipped},
                                                   {infinite, 2, 0, infinite, Clipping::kSkipped}}) {
    Host<double> squares({1}), loss({1}), norm({1}), scale({1});
    squares[0] = one.squares, loss[0] = one.loss;
    backend->clip({squares, loss, one.limit, norm, scale});
    EXPECT_TRUE(norm[0] == one.norm || (std::isnan(norm[0]) && std::isnan(one.norm))) << one.squares;
    EXPECT_EQ(scale[0], one.scale) << one.squares << ", " << one.loss << ", " << one.limit;
  }
}

}  // namespace
}  // namespace coxswain
