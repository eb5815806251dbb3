#include "parallel/row_scatter.h"

#include <string>

#include "base/error.h"

namespace coxswain {

RowScatter::RowScatter(Backend& backend, Communicator& group, TensorView partials, int leaves, const char* name)
    : backend_(backend), group_(group), partials_(partials), leaves_(leaves), name_(name) {
  const int size = group.size(), local = leaves / size;
  if (leaves % size != 0 || partials.rank() < 2 || partials.shape[0] != local || partials.shape[1] % size != 0 ||
      !partials.is_dense())
    throw Error(ExitCode::internal, "ordered sum '" + std::string(name) + "': partials " + partials.shape.str() +
                                        " for " + std::to_string(leaves) + " leaves over " + std::to_string(size) +
                                        " ranks");
  for (int r = 0; r < size; ++r) {
    begins_.push_back(nodes_.size());
    for (const TreeNode node : covering_nodes(r * local, (r + 1) * local, leaves)) nodes_.push_back(node);
  }
  begins_.push_back(nodes_.size());
  const auto rank = static_cast<std::size_t>(group.rank());
  Shape piece = partials.shape;
  piece[0] = static_cast<std::int64_t>(nodes_.size() - (begins_[rank + 1] - begins_[rank]));
  piece[1] /= size;
  const MemoryScope scope(backend, MemoryKind::communication);
  if (size > 1) arriving_ = Tensor(backend, partials.dtype, piece);
  std::int64_t slot = 0;
  for (int r = 0; r < size; ++r)
    for (std::size_t node = begins_[static_cast<std::size_t>(r)]; node < begins_[static_cast<std::size_t>(r) + 1];
         ++node)
      pieces_.push_back(r == group.rank() ? rows_of(r, partials[nodes_[node].first - r * local]) : arriving_[slot++]);
}

// Of [rows, ...].
TensorView RowScatter::rows_of(int rank, TensorView partial) const {
  const std::int64_t rows = partial.shape[0] / group_.size();
  return partial.slice(0, rank * rows, rows);
}

void RowScatter::send(int first, int last) {
  const int size = group_.size(), rank = group_.rank(), first_leaf = rank * (leaves_ / size);
  std::vector<Message> incoming, outgoing;
  for (int step = first; step < last; ++step) {
    const int to = (rank + step) % size, from = (rank + size - step) % size;
    const std::int64_t rows = partials_.shape[1] / size;
    const auto own = reduce_local(backend_, partials_.slice(1, to * rows, rows), first_leaf, leaves_);
    if (step == 0) continue;
    for (std::size_t node = begins_[static_cast<std::size_t>(from)]; node < begins_[static_cast<std::size_t>(from) + 1];
         ++node)
      incoming.push_back({pieces_[node], from});
    for (const TreeNode node : own) outgoing.push_back({rows_of(to, partials_[node.first - first_leaf]), to});
  }
  if (!incoming.empty()) under_way_.push_back(group_.exchange(incoming, outgoing, name_));
}

void RowScatter::finish(TensorView out) {
  for (Request& request : under_way_) request.wait();
  sum_pieces(backend_, leaves_, nodes_, pieces_, out);
}

}  // namespace coxswain
