#include "train/frozen_model.h"

namespace coxswain {

FrozenModel::FrozenModel(const ModelConfig& config, const ProcessGrid& grid, Backend& backend)
    : config_(config), context_{backend, grid, config_}, model_(context_, ModelUse::inference), evaluator_(model_) {}

void FrozenModel::load(Archive& archive) { MasterWeights(model_).load(archive, MasterWeights::ScalarHead::required); }

void FrozenModel::initialise(std::uint64_t seed) { MasterWeights(model_).initialise(seed); }

}  // namespace coxswain
