// Every operation of the backend on a GPU, or on its emulation, against the CPU backend (agreement.h says how close),
// in several orders of everything that CUDA leaves open, with equal bits: five orders, and twenty with COXSWAIN_FULL=1.
// An operation that backend.h declares and no case calls is a failure. Says how many cases there were, and the worst
// error.
#include "tests/kernels/agreement.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/kernels/agreement_attention.h"
#include "tests/kernels/agreement_layers.h"
#include "tests/kernels/agreement_losses.h"
#include "tests/kernels/agreement_memory.h"

namespace coxswain::testing {
namespace {

int orders() {
  const char* asked = std::getenv("COXSWAIN_ORDERS");
  return asked ? std::atoi(asked) : std::getenv("COXSWAIN_FULL") ? 20 : 5;
}

void set_order(int order) {
#ifdef COXSWAIN_TESTS_ON_EMULATION
  cuda_emulation::set_seed(static_cast<std::uint64_t>(order) + 1);
#endif
  static_cast<void>(order);  // a GPU has its own
}

std::vector<Output> outputs_of(Backend& backend, const std::function<void(Trial&)>& body, bool rounds) {
  Trial trial{backend, rounds, {}};
  body(trial);
  return trial.outputs;
}

// Of all groups.
std::map<std::string, std::int64_t> calls;
std::size_t cases_run = 0;
Worst worst;

// On the tested backend in every order, against the CPU's FP32.
void compare(Backend& tested, Backend& cpu, const AgreementCase& one, bool narrow) {
  const std::vector<Output> expected = outputs_of(cpu, one.in_float, narrow);
  std::vector<Output> first;
  for (int order = 0; order < orders(); ++order) {
    set_order(order);
    const std::vector<Output> actual = outputs_of(tested, narrow ? one.in_bf16 : one.in_float, narrow);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      SCOPED_TRACE(one.name + (narrow ? ", bf16" : ", f32") + ", order " + std::to_string(order));
      if (order == 0) expect_agreement(actual[i], expected[i], actual[i].narrow, worst);
      if (order > 0) {
        EXPECT_EQ(actual[i].bits, first[i].bits) << actual[i].name << " has other bits than in order 0";
      }
    }
    if (order == 0) first = actual;
    if (::testing::Test::HasFailure()) return;
  }
}

void run_group(const std::vector<AgreementCase>& cases) {
  const auto tested = make_tested_backend();
  const auto cpu = make_cpu_backend();
  for (const AgreementCase& one : cases) {
    compare(*tested, *cpu, one, false);
    if (one.in_bf16) compare(*tested, *cpu, one, true);
    cases_run += one.in_bf16 ? 2 : 1;
  }
  for (const auto& [operation, cost] : tested->costs()) calls[operation] += cost.calls;
}

TEST(Agreement, OfLayers) { run_group(layer_cases()); }
TEST(Agreement, OfAttentionAndDecoding) { run_group(attention_cases()); }
TEST(Agreement, OfLosses) { run_group(loss_cases()); }
TEST(Agreement, OfMemoryAndUpdates) { run_group(memory_cases()); }

// Stays the last one. What the backend's header declares, but for what every case uses anyway.
TEST(Agreement, LeavesNoOperationOut) {
  std::printf("%zu cases in %d orders; worst error: f32 %.1e relative, bf16 %.2f units in the last place\n", cases_run,
              orders(), worst.in_float, worst.in_bf16);
  std::ifstream file(COXSWAIN_SOURCE_DIR "/kernels/backend.h");
  if (!file) GTEST_SKIP() << "the sources are not on this machine";
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (::testing::UnitTest::GetInstance()->test_to_run_count() < 5) GTEST_SKIP() << "only some cases ran";
  const std::set<std::string> of_all{"allocate",       "release",      "upload",         "download",
                                     "download_aside", "begin_upload", "begin_download", "join_aside"};
  const std::regex declaration("virtual \\w+[ *]+do_(\\w+)\\(");
  int found = 0;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), declaration); match != std::sregex_iterator();
       ++match) {
    const std::string operation = (*match)[1];
    ++found;
    if (of_all.count(operation) == 0) {
      EXPECT_GT(calls[operation], 0) << operation << " has no case";
    }
  }
  EXPECT_GT(found, 35) << "declarations are not recognised any more";
}

}  // namespace
}  // namespace coxswain::testing
