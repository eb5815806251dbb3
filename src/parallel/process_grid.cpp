#include "parallel/process_grid.h"

#include <algorithm>

#include "base/error.h"

namespace coxswain {

namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ExitCode::usage, "[grid] " + message); }

void at_least(std::int64_t least, std::int64_t value, const char* key) {
  if (value < least)
    refuse(std::string(key) + " = " + std::to_string(value) + " must be at least " + std::to_string(least));
}

void divides(int ranks, int shards, const char* rank_key, const char* shard_key) {
  if (shards % ranks == 0) return;
  std::string message = std::string(shard_key) + " = " + std::to_string(shards) + " cannot be spread over " + rank_key +
                        " = " + std::to_string(ranks) + " ranks; use a multiple of " + std::to_string(ranks) +
                        ", or set " + rank_key + " to one of ";
  for (int divisor = 1; divisor <= shards; ++divisor)
    if (shards % divisor == 0) message += (divisor == 1 ? "" : ", ") + std::to_string(divisor);
  refuse(message);
}

}  // namespace

void GridConfig::check(int ranks) {
  at_least(1, tensor, "tensor");
  at_least(1, pipeline, "pipeline");
  at_least(0, data, "data");
  at_least(0, tensor_shards, "tensor_shards");
  at_least(0, data_shards, "data_shards");
  at_least(1, virtual_stages, "virtual_stages");
  at_least(0, overlap_from, "overlap_from");
  const int model_ranks = tensor * pipeline;
  if (data == 0) {
    if (ranks % model_ranks != 0)
      refuse("tensor = " + std::to_string(tensor) + " x pipeline = " + std::to_string(pipeline) +
             " does not divide the " + std::to_string(ranks) + " ranks of this job; start a multiple of " +
             std::to_string(model_ranks) + " ranks, or change tensor or pipeline");
    data = std::max(1, ranks / model_ranks);
  }
  if (ranks != 0 && this->ranks() != ranks)
    refuse("tensor = " + std::to_string(tensor) + " x pipeline = " + std::to_string(pipeline) + " x data = " +
           std::to_string(data) + " needs " + std::to_string(this->ranks()) + " ranks, but the job has " +
           std::to_string(ranks) + "; start " + std::to_string(this->ranks()) + " ranks, or leave data out");
  if (tensor_shards == 0) tensor_shards = tensor;
  if (data_shards == 0) data_shards = data;
  divides(tensor, tensor_shards, "tensor", "tensor_shards");
  divides(data, data_shards, "data", "data_shards");
}

ProcessGrid::ProcessGrid(Communicator& world, const GridConfig& config) : config_(config), world_(&world) {
  config_.check(world.size());
  const int tensor_rank = world.rank() % config_.tensor;
  const int data_rank = world.rank() / config_.tensor % config_.data;
  const int pipeline_rank = world.rank() / (config_.tensor * config_.data);
  const auto group = [&](int size, int rank, int color, const char* name) {
    return world.planned() ? make_planned_communicator(rank, size) : world.split(color, rank, name);
  };
  const int tensor_color = data_rank + config_.data * pipeline_rank;
  const int pipeline_color = tensor_rank + config_.tensor * data_rank;
  const int data_color = tensor_rank + config_.tensor * pipeline_rank;
  tensor_ = group(config_.tensor, tensor_rank, tensor_color, "tensor group");
  pipeline_ = group(config_.pipeline, pipeline_rank, pipeline_color, "pipeline group");
  data_ = group(config_.data, data_rank, data_color, "data group");
  for (Communicator* part : {world_, tensor_.get(), pipeline_.get(), data_.get()}) part->set_coordinates(coordinates());
}

ProcessGrid ProcessGrid::planned(const GridConfig& config, int rank) {
  GridConfig checked = config;
  checked.check(0);
  std::unique_ptr<Communicator> world = make_planned_communicator(rank, checked.ranks());
  ProcessGrid grid(*world, checked);
  grid.owned_world_ = std::move(world);
  return grid;
}

std::string ProcessGrid::coordinates() const {
  const auto place = [](const char* axis, const Communicator& group) {
    return std::string(axis) + " " + std::to_string(group.rank()) + " of " + std::to_string(group.size());
  };
  return place("tensor", *tensor_) + ", " + place("pipeline", *pipeline_) + ", " + place("data", *data_);
}

}  // namespace coxswain
