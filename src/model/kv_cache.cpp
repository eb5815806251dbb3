#include "model/kv_cache.h"

namespace coxswain {

KvCache::KvCache(const ModelContext& context, int layers, int slots, int context_length)
    : local_shards_(context.local_shards()) {
  const MemoryScope scope(context.backend, MemoryKind::cache);
  const std::int64_t block = Backend::kCacheBlock, positions = (context_length + block - 1) / block * block;
  memory_ = context.tensor({std::int64_t{2} * layers * local_shards_, slots, context.config.kv_heads / context.shards(),
                            positions, context.config.head_size});
  context.backend.fill(memory_, 0.0);  // the system gives pages when they are first written: now, not in a step
}

}  // namespace coxswain
