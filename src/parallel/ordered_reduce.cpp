#include "parallel/ordered_reduce.h"

#include <algorithm>
#include <functional>
#include <string>

#include "base/error.h"
#include "tensor/tensor.h"

namespace coxswain {

namespace {

// Pieces in flight take at most this much memory; longer rows go in turns.
constexpr std::int64_t kScratchBytes = std::int64_t{32} << 20;
// Up to here (all ranks' bytes together) one exchange of everything is quicker than a scatter and a gather.
constexpr std::size_t kSmallBytes = 128 << 10;
// Ranges of elements start at multiples of this: 64 bytes in FP32.
constexpr std::int64_t kGrain = 16;

void require(bool holds, const char* name, const std::string& message) {
  if (!holds) throw Error(ExitCode::internal, "ordered sum '" + std::string(name) + "': " + message);
}

void add_covering(TreeNode node, TreeNode held, std::vector<TreeNode>& nodes) {
  if (node.last <= held.first || held.last <= node.first) return;
  if (held.first <= node.first && node.last <= held.last) {
    nodes.push_back(node);
    return;
  }
  const int split = middle(node);
  add_covering({node.first, split}, held, nodes);
  add_covering({split, node.last}, held, nodes);
}

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  Range turn(std::int64_t from, std::int64_t length) const {
    return {std::min(begin + from, end), std::min(begin + from + length, end)};
  }
};

// Long ranges go in turns, of a length that is the same on every rank.
struct Turns {
  std::int64_t longest = 0, length = 0;
  Turns() = default;
  Turns(const std::vector<Range>& wanted, std::size_t nodes, DType dtype) {
    for (const Range& range : wanted) longest = std::max(longest, range.size());
    const auto width = static_cast<std::int64_t>(size_of(dtype));
    const std::int64_t fits = kScratchBytes / (width * static_cast<std::int64_t>(nodes));
    length = std::min(longest, std::max(fits / kGrain, std::int64_t{1}) * kGrain);
  }
};

// The nodes that each rank holds, left to right: rank r's are [begins[r], begins[r + 1]).
struct HeldNodes {
  std::vector<TreeNode> nodes;
  std::vector<std::size_t> begins;
  HeldNodes(int ranks, int leaves) {
    const int local = leaves / ranks;
    for (int r = 0; r < ranks; ++r) {
      begins.push_back(nodes.size());
      for (const TreeNode node : covering_nodes(r * local, (r + 1) * local, leaves)) nodes.push_back(node);
    }
    begins.push_back(nodes.size());
  }
};

std::vector<Range> ranges_of(const std::vector<std::int64_t>& starts, std::int64_t row) {
  std::vector<Range> ranges;
  for (std::size_t r = 0; r + 1 < starts.size(); ++r) ranges.push_back({starts[r] * row, starts[r + 1] * row});
  return ranges;
}

}  // namespace

// One sum across the group: every rank names the range of elements it wants, gets that range of every node in the tree
// from the rank that holds it, and adds them up from the leaves to the root.
class TreeExchange {
 public:
  TreeExchange(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves, const char* name)
      : backend_(backend), group_(group), leaves_(leaves), name_(name) {
    require(leaves > 0 && leaves % group.size() == 0, name,
            std::to_string(leaves) + " leaves over " + std::to_string(group.size()) + " ranks");
    HeldNodes held(group.size(), leaves);
    nodes_ = std::move(held.nodes);
    begins_ = std::move(held.begins);
    pieces_.resize(nodes_.size());
    const std::size_t first = begins_[rank()];
    require(sums.size() == begins_[rank() + 1] - first, name, "one sum for each node that covers the own leaves");
    for (std::size_t i = 0; i < sums.size(); ++i) {
      require(sums[i].node == nodes_[first + i] && sums[i].sum.shape == sums[0].sum.shape && sums[i].sum.is_dense() &&
                  sums[i].sum.dtype == sums[0].sum.dtype,
              name, "the sums must be dense, of one shape, and in the order of their nodes");
      own_.push_back(sums[i].sum.flat());
    }
  }

  // wanted[r]: rank r's range; out: this rank's range of the whole sum.
  void begin(std::vector<Range> wanted, TensorView out) {
    wanted_ = std::move(wanted);
    out_ = out;
    turns_ = Turns(wanted_, nodes_.size(), out.dtype);
  }
  // Goes on as far as it can without waiting, or to the end. True if it has ended.
  bool advance(TensorView scratch, bool wait) {
    while (true) {
      if (under_way_) {
        if (!wait && !transfers_.ready()) return false;
        transfers_.wait();
        under_way_ = false;
        const Range mine = turn_of(wanted_[rank()]);
        if (mine.size() > 0)
          sum_pieces(backend_, leaves_, nodes_, pieces_,
                     out_.slice(0, mine.begin - wanted_[rank()].begin, mine.size()));
        from_ += turns_.length;
      }
      if (from_ >= turns_.longest) return true;
      exchange(scratch, wait);
      under_way_ = true;
    }
  }
  void run(const std::vector<Range>& wanted, TensorView out) {
    begin(wanted, out);
    const auto slots = static_cast<std::int64_t>(nodes_.size() - own_.size());
    const MemoryScope scope(backend_, MemoryKind::communication);
    Tensor scratch;
    if (slots > 0 && turns_.longest > 0) scratch = Tensor(backend_, out.dtype, {slots * turns_.length});
    advance(scratch, true);
  }

 private:
  std::size_t rank() const { return static_cast<std::size_t>(group_.rank()); }

  Range turn_of(const Range& range) const { return range.turn(from_, turns_.length); }

  // If it waits, recorded work (Backend::record) can be what asks.
  void exchange(TensorView scratch, bool wait) {
    const Range mine = turn_of(wanted_[rank()]);
    const int size = group_.size();
    std::vector<Message> incoming, outgoing;
    std::int64_t slot = 0;
    for (std::size_t i = 0; i < own_.size(); ++i)
      pieces_[begins_[rank()] + i] = own_[i].slice(0, mine.begin, mine.size());
    for (int step = 1; step < size; ++step) {
      const int from = (group_.rank() + size - step) % size;
      const auto source = static_cast<std::size_t>(from);
      for (std::size_t node = begins_[source]; node < begins_[source + 1] && mine.size() > 0; ++node) {
        pieces_[node] = scratch.slice(0, slot++ * turns_.length, mine.size());
        incoming.push_back({pieces_[node], from});
      }
    }
    for (int step = 1; step < size; ++step) {
      const int to = (group_.rank() + step) % size;
      const Range theirs = turn_of(wanted_[static_cast<std::size_t>(to)]);
      for (std::size_t i = 0; i < own_.size() && theirs.size() > 0; ++i)
        outgoing.push_back({own_[i].slice(0, theirs.begin, theirs.size()), to});
    }
    if (size == 1) return;
    if (!wait) {
      transfers_ = group_.exchange(incoming, outgoing, name_);
      return;
    }
    backend_.apart(
        [&group = group_, name = name_, incoming, outgoing] { group.exchange(incoming, outgoing, name).wait(); });
  }

  Backend& backend_;
  Communicator& group_;
  int leaves_;
  const char* name_;
  std::vector<TreeNode> nodes_;      // of all ranks, left to right
  std::vector<std::size_t> begins_;  // rank r holds nodes [begins[r], begins[r + 1])
  std::vector<TensorView> own_;      // flat
  std::vector<TensorView> pieces_;   // the wanted range of every node
  std::vector<Range> wanted_;
  TensorView out_;
  Turns turns_;
  std::int64_t from_ = 0;  // where in the ranges this turn begins
  Request transfers_;      // of this turn
  bool under_way_ = false;
};

namespace {

// `starts` of the rows of sums like `sum`, as ranges of elements; `out` is this rank's.
std::vector<Range> check_rows(const Communicator& group, TensorView sum, const std::vector<std::int64_t>& starts,
                              TensorView out, const char* name) {
  require(starts.size() == static_cast<std::size_t>(group.size()) + 1 && starts.front() == 0 && sum.rank() > 0 &&
              starts.back() == sum.shape[0] && std::is_sorted(starts.begin(), starts.end()),
          name, "the ranks' row ranges do not tile " + sum.shape.str());
  std::vector<Range> wanted = ranges_of(starts, sum.shape.without_first().elements());
  require(out.elements() == wanted[static_cast<std::size_t>(group.rank())].size() && out.dtype == sum.dtype, name,
          "the result " + out.shape.str() + " does not hold the own rows of " + sum.shape.str());
  return wanted;
}

std::vector<NodeSum> sum_own_leaves(Backend& backend, const Communicator& group, TensorView partials, int leaves,
                                    const char* name) {
  const int local = leaves / group.size();
  require(partials.rank() > 0 && partials.shape[0] == local && leaves % group.size() == 0, name,
          "partials " + partials.shape.str() + " for " + std::to_string(leaves) + " leaves over " +
              std::to_string(group.size()) + " ranks");
  const int first = group.rank() * local;
  std::vector<NodeSum> sums;
  for (const TreeNode node : reduce_local(backend, partials, first, leaves))
    sums.push_back({node, partials[node.first - first]});
  return sums;
}

void add_node(Backend& backend, TensorView partials, int first, TreeNode node) {
  if (node.last - node.first == 1) return;
  const int split = middle(node);
  add_node(backend, partials, first, {node.first, split});
  add_node(backend, partials, first, {split, node.last});
  backend.add(partials[node.first - first], partials[split - first], partials[node.first - first]);
}

}  // namespace

bool are_halves(TreeNode left, TreeNode right, int leaves) {
  TreeNode node{0, leaves};
  while (node.last - node.first > 1 && node.first <= left.first && right.last <= node.last) {
    const int split = middle(node);
    if (left == TreeNode{node.first, split} && right == TreeNode{split, node.last}) return true;
    node = right.last <= split ? TreeNode{node.first, split} : TreeNode{split, node.last};
  }
  return false;
}

std::vector<TreeNode> covering_nodes(int first, int last, int leaves) {
  std::vector<TreeNode> nodes;
  add_covering({0, leaves}, {first, last}, nodes);
  return nodes;
}

std::vector<TreeNode> reduce_local(Backend& backend, TensorView partials, int first, int leaves) {
  const auto nodes = covering_nodes(first, first + static_cast<int>(partials.shape[0]), leaves);
  for (const TreeNode node : nodes) add_node(backend, partials, first, node);
  return nodes;
}

void sum_pieces(Backend& backend, int leaves, const std::vector<TreeNode>& nodes, const std::vector<TensorView>& pieces,
                TensorView out) {
  std::size_t next = 0;
  const std::function<TensorView(TreeNode, TensorView)> sum_of = [&](TreeNode node, TensorView into) {
    if (nodes[next] == node) return pieces[next++];
    const int split = middle(node);
    const TensorView left = sum_of({node.first, split}, {});
    const TensorView right = sum_of({split, node.last}, {});
    const TensorView sum = into ? into : left;
    backend.add(left, right, sum);
    return sum;
  };
  const TensorView sum = sum_of({0, leaves}, out);
  if (sum.data != out.data) backend.copy(sum, out);
}

void ordered_reduce_scatter_rows(Backend& backend, Communicator& group, TensorView partials, int leaves,
                                 const std::vector<std::int64_t>& starts, TensorView out, const char* name) {
  const auto sums = sum_own_leaves(backend, group, partials, leaves, name);
  ordered_reduce_scatter_rows(backend, group, sums, leaves, starts, out, name);
}

void ordered_all_reduce(Backend& backend, Communicator& group, TensorView partials, int leaves, TensorView out,
                        const char* name) {
  ordered_all_reduce(backend, group, sum_own_leaves(backend, group, partials, leaves, name), leaves, out, name);
}

void ordered_reduce_scatter_rows(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves,
                                 const std::vector<std::int64_t>& starts, TensorView out, const char* name) {
  TreeExchange tree(backend, group, sums, leaves, name);
  tree.run(check_rows(group, sums[0].sum, starts, out, name), out.flat());
}

ScatteredSum::ScatteredSum(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves,
                           const Rows& rows, TensorView scratch, const char* name)
    : exchange_(std::make_unique<TreeExchange>(backend, group, sums, leaves, name)), scratch_(scratch) {
  const std::int64_t needed = scratch_elements(group, leaves, rows.starts);
  require(sums[0].sum.rank() == 1 && rows.out.dtype == DType::f32, name, "sums f32 [rows] are wanted");
  require(needed == 0 || (scratch.elements() >= needed && scratch.dtype == DType::f32), name, "too little scratch");
  exchange_->begin(check_rows(group, sums[0].sum, rows.starts, rows.out, name), rows.out.flat());
}

ScatteredSum::ScatteredSum(ScatteredSum&&) noexcept = default;
ScatteredSum& ScatteredSum::operator=(ScatteredSum&&) noexcept = default;
ScatteredSum::~ScatteredSum() = default;

bool ScatteredSum::advance(bool wait) { return exchange_->advance(scratch_, wait); }

std::int64_t ScatteredSum::scratch_elements(const Communicator& group, int leaves,
                                            const std::vector<std::int64_t>& starts) {
  const HeldNodes held(group.size(), leaves);
  const auto rank = static_cast<std::size_t>(group.rank());
  const std::size_t own = held.begins[rank + 1] - held.begins[rank];
  const Turns turns(ranges_of(starts, 1), held.nodes.size(), DType::f32);
  return static_cast<std::int64_t>(held.nodes.size() - own) * turns.length;
}

void ordered_all_reduce(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves,
                        TensorView out, const char* name) {
  TreeExchange tree(backend, group, sums, leaves, name);
  const TensorView whole = out.flat();
  const std::int64_t elements = whole.elements();
  require(sums[0].sum.elements() == elements && sums[0].sum.dtype == out.dtype, name,
          "the result " + out.shape.str() + " does not hold a sum of " + sums[0].sum.shape.str());
  const auto size = static_cast<std::size_t>(group.size());
  if (size == 1 || out.bytes() * size <= kSmallBytes) {
    tree.run(std::vector<Range>(size, Range{0, elements}), whole);
    return;
  }
  std::vector<Range> wanted;
  std::vector<std::int64_t> counts;
  const std::int64_t grains = (elements + kGrain - 1) / kGrain;
  const auto start = [&](std::int64_t r) { return std::min(grains * r / group.size() * kGrain, elements); };
  for (int r = 0; r < group.size(); ++r) {
    wanted.push_back({start(r), start(r + 1)});
    counts.push_back(wanted.back().size());
  }
  const Range mine = wanted[static_cast<std::size_t>(group.rank())];
  const TensorView own = whole.slice(0, mine.begin, mine.size());
  tree.run(wanted, own);
  backend.apart([&group, own, whole, counts, name] { group.all_gather_rows(own, whole, counts, name); });
}

}  // namespace coxswain
