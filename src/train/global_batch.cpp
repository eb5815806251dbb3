#include "train/global_batch.h"

#include <stdexcept>

namespace coxswain {

namespace {

void load_shard(const ProcessGrid& grid, int shard, Work& work) {
  for (std::size_t p = 0; p < work.parts.size(); ++p) {
    const GlobalBatch& part = work.parts[p];
    const int shard_size = part.size / grid.config().data_shards;
    for (int i = 0; i < shard_size; i += part.micro) {
      Work::Item item;
      item.part = static_cast<int>(p);
      item.first_sequence = std::int64_t{shard} * shard_size + i;
      item.tokens = part.load(item.first_sequence, part.micro);
      work.items.push_back(std::move(item));
    }
  }
  work.items.back().ends_shard = true;
}

// Loss weights are ones and zeros, so their sum is exact in any order.
double total_weight(const ProcessGrid& grid, const Work& work, int part) {
  std::vector<double> weight(static_cast<std::size_t>(grid.data().size()), 0.0);
  for (const Work::Item& item : work.items)
    if (item.part == part)
      for (const float w : item.tokens.weights) weight[static_cast<std::size_t>(grid.data_rank())] += w;
  grid.data().all_merge(weight, "loss weights");
  double total = 0;
  for (const double share : weight) total += share;
  return total;
}

}  // namespace

Work load_work(const ProcessGrid& grid, std::span<const GlobalBatch> parts, bool training) {
  Work work;
  work.parts = parts;
  work.training = training;
  for (const GlobalBatch& part : parts)
    if (part.size <= 0 || part.micro <= 0 || part.size % (grid.config().data_shards * part.micro) != 0)
      throw std::logic_error("a global batch is no multiple of data shards x micro-batch");
  for (int shard = 0; shard < grid.local_data_shards(); ++shard)
    load_shard(grid, grid.first_data_shard() + shard, work);
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const double divisor = parts[p].divisor > 0 ? parts[p].divisor : total_weight(grid, work, static_cast<int>(p));
    work.weight_scales.push_back(divisor > 0 ? parts[p].weight / divisor : 0.0);
  }
  return work;
}

std::vector<double> merge_items(const ProcessGrid& grid, std::vector<double> own, bool mine, const char* name) {
  const std::size_t count = own.size();
  std::vector<double> all(count * static_cast<std::size_t>(grid.data().size()), 0.0);
  if (mine)
    std::copy(own.begin(), own.end(),
              all.begin() + static_cast<std::ptrdiff_t>(count * static_cast<std::size_t>(grid.data_rank())));
  grid.world().all_merge(all, name);
  return all;
}

}  // namespace coxswain
