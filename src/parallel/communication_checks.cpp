#include "parallel/communication_checks.h"

#include <functional>

#include "base/error.h"

namespace coxswain::checks {

void require(bool holds, const char* name, const std::string& message) {
  if (!holds) throw Error(ExitCode::internal, "communication '" + std::string(name) + "': " + message);
}

void require_dense(const TensorView& view, const char* name) {
  require(view.is_dense(), name, "the view " + view.shape.str() + " is not dense");
}

bool lies_at(const TensorView& piece, const TensorView& out, std::size_t place, const char* name) {
  const char* const start = static_cast<const char*>(out.data);
  const char* const own = static_cast<const char*>(piece.data);
  if (own == start + place || piece.elements() == 0) return true;
  const std::less<> before;
  require(!before(own, start + out.bytes()) || !before(start, own + piece.bytes()), name,
          "the piece overlaps the result, but not in its own place");
  return false;
}

void all_gather(const TensorView& piece, const TensorView& out, int size, const char* name) {
  require_dense(piece, name);
  require_dense(out, name);
  require(out.bytes() == piece.bytes() * static_cast<std::size_t>(size), name,
          "pieces " + piece.shape.str() + " of " + std::to_string(size) + " ranks do not fill " + out.shape.str());
}

Rows all_gather_rows(const TensorView& piece, const TensorView& out, const std::vector<std::int64_t>& counts, int size,
                     int rank, const char* name) {
  require_dense(piece, name);
  require_dense(out, name);
  require(out.rank() > 0 && counts.size() == static_cast<std::size_t>(size), name, "one count a rank is needed");
  Rows rows;
  rows.bytes = static_cast<std::size_t>(out.shape.without_first().elements()) * size_of(out.dtype);
  std::int64_t row = 0;
  for (const std::int64_t count : counts) {
    rows.starts.push_back(row);
    row += count;
  }
  const auto own = static_cast<std::size_t>(counts[static_cast<std::size_t>(rank)]);
  require(row == out.shape[0], name, "the counts add up to " + std::to_string(row) + " rows of " + out.shape.str());
  require(piece.bytes() == own * rows.bytes, name,
          "the piece " + piece.shape.str() + " does not hold " + std::to_string(own) + " rows");
  return rows;
}

void all_to_all(const TensorView& in, const TensorView& out, int size, const char* name) {
  require_dense(in, name);
  require_dense(out, name);
  require(in.bytes() == out.bytes() && in.bytes() % static_cast<std::size_t>(size) == 0 && in.data != out.data, name,
          in.shape.str() + " and " + out.shape.str() + " must be equal, apart, and divide by the ranks");
}

}  // namespace coxswain::checks
