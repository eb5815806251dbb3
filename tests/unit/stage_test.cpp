// How layers are dealt to pipeline stages.
#include <gtest/gtest.h>

#include <numeric>

#include "model/presets.h"
#include "model/stage.h"

namespace coxswain {
namespace {

ModelConfig preset(const std::string& name) {
  ModelConfig config = model_preset(name);
  config.check();
  return config;
}

TEST(DealLayers, GivesTheStageWithTheProjectionFewer) {
  // GPT-2's projection of 50257 x 768 weighs as much as the products of 5.45 of its layers, and as 4.46 layers with
  // their attention over 1024 tokens.
  EXPECT_EQ(deal_layers(preset("gpt2"), 2), (std::vector<int>{8, 4}));
  EXPECT_EQ(deal_layers(preset("gpt2"), 1), (std::vector<int>{12}));
}

TEST(DealLayers, WeighsAttentionOverTheWholeContext) {
  ModelConfig config = preset("gpt2");
  config.context = 128;  // 5.30 layers: eight in front of four of them would be the slower half
  EXPECT_EQ(deal_layers(config, 2), (std::vector<int>{9, 3}));
}

TEST(DealLayers, KeepsEqualRunsWhereTheProjectionIsLight) {
  EXPECT_EQ(deal_layers(preset("gpt3_175b"), 48), std::vector<int>(48, 2));
}

TEST(DealLayers, DealsEveryLayerOnce) {
  const ModelConfig config = preset("gpt3_1.3b");
  for (int stages = 1; stages <= config.layers; ++stages) {
    const std::vector<int> dealt = deal_layers(config, stages);
    EXPECT_EQ(std::accumulate(dealt.begin(), dealt.end(), 0), config.layers);
    EXPECT_GE(*std::min_element(dealt.begin(), dealt.end() - 1), stages == 1 ? 0 : 1);
  }
}

}  // namespace
}  // namespace coxswain
