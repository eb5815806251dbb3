#include "model/parameter_buffer.h"

#include <algorithm>

#include "parallel/ordered_reduce.h"

namespace coxswain {

namespace {

constexpr std::int64_t kBlockElements = 16384;
// Sixteen bytes of bf16: a parameter is aligned as its rows are, whatever lies before it on this grid.
constexpr std::int64_t kAligned = 8;

}  // namespace

ParameterBuffer::ParameterBuffer(const ModelContext& context, std::string name, std::vector<Parameter*> parameters,
                                 const Options& options)
    : context_(context),
      name_(std::move(name)),
      parameters_(std::move(parameters)),
      data_rank_(context.grid.data_rank()),
      shared_values_(options.shared_values) {
  std::stable_partition(parameters_.begin(), parameters_.end(), [](const Parameter* p) { return p->is_sharded(); });
  lay_out(context);
  if (options.shared_values != nullptr) {
    values_view_ = options.shared_values->values();
  } else {
    const MemoryScope scope(context.backend, MemoryKind::weights);
    values_ = Tensor(context.backend, context.working_type(), {elements_});
    values_view_ = values_;
    context.backend.fill(values_view_,
                         0.0);  // a padded vocabulary's rows stay so: no file brings them, products see them
  }
  if (options.gradients) allocate_gradients(context);
  attach(context);
  cut_into_slices(context.grid.data().size());
  find_own_parts();
}

void ParameterBuffer::allocate_gradients(const ModelContext& context) {
  const MemoryScope scope(context.backend, MemoryKind::gradients);
  gradients_ = Tensor(context.backend, DType::f32, {elements_});
  if (context.shards() > 1 && elements_ > replicated_start_)
    replicated_partials_ = Tensor(context.backend, DType::f32, {context.local_shards(), elements_ - replicated_start_});
}

void ParameterBuffer::park(bool changed) {
  if (!values_) return;
  await_values();
  context_.backend.finish_uploads();
  if (!parked_ || changed) {
    if (!parked_) parked_ = HostMemory(context_.backend, values_view_.bytes());
    context_.backend.download(values_view_, parked_.data());
  }
  values_.reset();
}

void ParameterBuffer::begin_unpark() {
  if (values_ || !parked_) return;
  const MemoryScope scope(context_.backend, MemoryKind::weights);
  values_ = Tensor(context_.backend, context_.working_type(), {elements_});
  values_view_ = values_;
  context_.backend.begin_upload(parked_.data(), values_view_);
  attach(context_);
}

void ParameterBuffer::share_values(const ParameterBuffer& other) {
  values_view_ = other.values();
  attach(context_);
}

void ParameterBuffer::lay_out(const ModelContext& context) {
  bool replicated = false;  // a stage that has the head alone begins with such parameters
  for (const Parameter* parameter : parameters_) {
    if (!parameter->is_sharded() && !replicated) replicated_start_ = elements_;
    replicated |= !parameter->is_sharded();
    const Shape piece = parameter->piece_shape();
    const int copies = parameter->is_sharded() ? context.local_shards() : 1;
    for (int s = 0; s < copies; ++s) {
      ParameterUnit unit;
      unit.parameter = parameter;
      unit.local_shard = s;
      unit.offset = elements_;
      unit.rows = piece[0];
      unit.columns = piece.elements() / piece[0];
      unit.block_rows = std::max<std::int64_t>(1, kBlockElements / unit.columns);
      units_.push_back(unit);
      elements_ += unit.elements();
    }
    elements_ = (elements_ + kAligned - 1) / kAligned * kAligned;
  }
  if (parameters_.empty() || parameters_.back()->is_sharded()) replicated_start_ = elements_;
}

void ParameterBuffer::attach(const ModelContext& context) {
  auto unit = units_.begin();
  for (Parameter* parameter : parameters_) {
    const std::int64_t offset = unit->offset;
    const Shape piece = parameter->piece_shape();
    Shape shape{parameter->is_sharded() ? context.local_shards() : 1};
    for (int dim = 0; dim < piece.rank(); ++dim) shape.append(piece[dim]);
    parameter->values = values_view_.slice(0, offset, shape.elements()).reshape(shape);
    if (!gradients_) {
      parameter->gradients = TensorView();
    } else if (parameter->is_sharded() || !replicated_partials_) {
      parameter->gradients = gradients_.view().slice(0, offset, shape.elements()).reshape(shape);
    } else {
      const std::int64_t all = elements_ - replicated_start_;
      TensorView partials =
          replicated_partials_[0].slice(0, offset - replicated_start_, shape.elements()).reshape(shape);
      partials.shape[0] = context.local_shards();
      partials.strides[0] = all;
      parameter->gradients = partials;
    }
    unit += shape[0];
  }
}

void ParameterBuffer::cut_into_slices(int data_ranks) {
  starts_.assign(static_cast<std::size_t>(data_ranks) + 1, elements_);
  starts_[0] = 0;
  int rank = 1;
  for (const ParameterUnit& unit : units_)
    for (std::int64_t row = 0; row < unit.rows; row += unit.block_rows) {
      const std::int64_t start = unit.offset + row * unit.columns;
      for (; rank < data_ranks && start >= elements_ * rank / data_ranks; ++rank)
        starts_[static_cast<std::size_t>(rank)] = start;
    }
}

int ParameterBuffer::owner_of(std::int64_t element) const {
  return static_cast<int>(std::upper_bound(starts_.begin(), starts_.end(), element) - starts_.begin()) - 1;
}

void ParameterBuffer::find_own_parts() {
  const std::int64_t begin = own_start(), end = begin + own_elements();
  for (const ParameterUnit& unit : units_) {
    const std::int64_t first = std::max(begin, unit.offset), last = std::min(end, unit.offset + unit.elements());
    if (first >= last) continue;
    own_parts_.push_back({&unit, (first - unit.offset) / unit.columns, (last - first) / unit.columns, first - begin});
  }
}

void ParameterBuffer::zero_gradients() {
  context_.backend.fill(gradients_, 0.0);
  if (replicated_partials_) context_.backend.fill(replicated_partials_, 0.0);
}

void ParameterBuffer::sum_replicated() {
  if (!replicated_partials_) return;
  const TensorView sum = gradients_.view().slice(0, replicated_start_, elements_ - replicated_start_);
  ordered_all_reduce(context_.backend, context_.grid.tensor(), replicated_partials_, context_.shards(), sum,
                     "replicated gradients");
  context_.backend.fill(replicated_partials_, 0.0);
}

}  // namespace coxswain
