#include "data/token_pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <sstream>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr std::int64_t kCopied = 1 << 20;  // elements at a time

std::filesystem::path piece_path(const std::filesystem::path& output, int rank, const char* what) {
  return fmt::format("{}.rank_{:05}.{}.tmp", output.string(), rank, what);
}

struct Row {
  std::int64_t block = 0, tokens = 0, documents = 0;
  int rank = 0;
};

// All pieces as one stream, read from the start.
class Pieces {
 public:
  Pieces(const JoinOptions& options, const std::vector<std::string>& tables)
      : token_bytes_(static_cast<std::int64_t>(TokenFileWriter::token_bytes(options.header.vocabulary))) {
    for (std::size_t r = 0; r < tables.size(); ++r) {
      const int rank = static_cast<int>(r);
      tokens_.push_back(DiskFile::open(piece_path(options.output, rank, "tokens")));
      ends_.push_back(DiskFile::open(piece_path(options.output, rank, "ends")));
      std::istringstream lines(tables[r]);
      for (Row row{.rank = rank}; lines >> row.block >> row.tokens >> row.documents;) rows_.push_back(row);
    }
    std::sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.block < b.block; });
    for (const Row& row : rows_) total_ += row.tokens;
  }

  std::int64_t total() const { return total_; }

  // Calls use(bytes) with all tokens in order, in the stored form.
  template <class Use>
  void each_token_bytes(const Use& use) const {
    std::vector<std::int64_t> place(tokens_.size(), 0);
    std::vector<std::byte> bytes;
    for (const Row& row : rows_) {
      const auto r = static_cast<std::size_t>(row.rank);
      for (std::int64_t left = row.tokens * token_bytes_; left > 0; left -= static_cast<std::int64_t>(bytes.size())) {
        bytes.resize(static_cast<std::size_t>(std::min(left, kCopied * token_bytes_)));
        tokens_[r].read(place[r], bytes);
        place[r] += static_cast<std::int64_t>(bytes.size());
        use(std::span<const std::byte>(bytes));
      }
    }
  }

  // Calls use(end) with the end of every document in the whole stream, rising.
  template <class Use>
  void each_end(const Use& use) const {
    std::vector<std::int64_t> place(ends_.size(), 0);
    std::vector<std::int64_t> ends;
    std::int64_t first_token = 0;
    for (const Row& row : rows_) {
      const auto r = static_cast<std::size_t>(row.rank);
      ends.resize(static_cast<std::size_t>(row.documents));
      ends_[r].read(place[r], std::as_writable_bytes(std::span(ends)));
      place[r] += 8 * row.documents;
      for (const std::int64_t end : ends) use(first_token + end);
      first_token += row.tokens;
    }
  }

 private:
  std::int64_t token_bytes_ = 2, total_ = 0;
  std::vector<DiskFile> tokens_, ends_;
  std::vector<Row> rows_;
};

// Tokens before this place go to the output. A document border is taken if the held-out part changes by a tenth at
// most.
std::int64_t validation_start(const Pieces& pieces, double share) {
  const std::int64_t total = pieces.total();
  const std::int64_t held_out = std::llround(share * static_cast<double>(total));
  const std::int64_t wanted = total - held_out;
  std::int64_t best = wanted, distance = held_out / 10 + 1;
  pieces.each_end([&](std::int64_t end) {
    if (std::abs(end - wanted) >= distance || end == total) return;
    best = end;
    distance = std::abs(end - wanted);
  });
  return best;
}

// Buffers document ends on their way to a writer.
class EndWriter {
 public:
  explicit EndWriter(TokenFileWriter& writer) : writer_(&writer) {}
  void add(std::int64_t end) {
    ends_.push_back(end);
    if (static_cast<std::int64_t>(ends_.size()) == kCopied) flush();
  }
  void flush() {
    writer_->append_document_ends(ends_);
    ends_.clear();
  }

 private:
  TokenFileWriter* writer_;
  std::vector<std::int64_t> ends_;
};

}  // namespace

PieceWriter::PieceWriter(const std::filesystem::path& output, int rank, int vocabulary)
    : vocabulary_(vocabulary),
      tokens_(DiskFile::create(piece_path(output, rank, "tokens"))),
      ends_(DiskFile::create(piece_path(output, rank, "ends"))) {}

PieceWriter::~PieceWriter() {
  std::error_code ignored;
  std::filesystem::remove(tokens_.path(), ignored);
  std::filesystem::remove(ends_.path(), ignored);
}

void PieceWriter::append(std::int64_t block, const EncodedBlock& encoded) {
  std::vector<std::byte> stored;
  store_tokens(encoded.tokens, vocabulary_, stored);
  tokens_.write(token_bytes_, stored);
  token_bytes_ += static_cast<std::int64_t>(stored.size());
  const auto ends = std::as_bytes(std::span(encoded.document_ends));
  ends_.write(end_bytes_, ends);
  end_bytes_ += static_cast<std::int64_t>(ends.size());
  table_ += fmt::format("{} {} {}\n", block, encoded.tokens.size(), encoded.document_ends.size());
}

std::string PieceWriter::table() const { return table_; }

JoinedFiles join_pieces(const JoinOptions& options, const std::vector<std::string>& tables) {
  const Pieces pieces(options, tables);
  const std::int64_t total = pieces.total();
  const std::int64_t cut = options.validation_share > 0 ? validation_start(pieces, options.validation_share) : total;
  if (cut <= 0 || (options.validation_share > 0 && cut >= total)) {
    throw Error(ExitCode::data, fmt::format("[data] validation_share = {} of {} tokens leaves nothing for {}",
                                            options.validation_share, total, cut <= 0 ? "output" : "validation"));
  }
  JoinedFiles files{options.header, options.header};
  files.output.tokens = cut;
  files.validation.tokens = total - cut;
  std::int64_t last_end = 0;  // of the documents that end before the cut; what is left up to it counts as one more
  pieces.each_end([&](std::int64_t end) {
    ++(end <= cut ? files.output : files.validation).documents;
    if (end <= cut) last_end = end;
  });
  if (last_end < cut) ++files.output.documents;

  TokenFileWriter output(options.output, files.output);
  std::optional<TokenFileWriter> validation;
  if (cut < total) validation.emplace(options.validation, files.validation);
  const auto width = TokenFileWriter::token_bytes(options.header.vocabulary);
  auto left = static_cast<std::size_t>(cut) * width;  // bytes
  pieces.each_token_bytes([&](std::span<const std::byte> bytes) {
    const std::size_t first = std::min(left, bytes.size());
    output.append_tokens(bytes.first(first));
    left -= first;
    if (first < bytes.size()) validation->append_tokens(bytes.subspan(first));
  });
  EndWriter output_ends(output);
  std::optional<EndWriter> validation_ends;
  if (validation) validation_ends.emplace(*validation);
  pieces.each_end([&](std::int64_t end) {
    if (end <= cut) output_ends.add(end);
  });
  if (last_end < cut) output_ends.add(cut);
  output_ends.flush();
  if (validation) {
    pieces.each_end([&](std::int64_t end) {
      if (end > cut) validation_ends->add(end - cut);
    });
    validation_ends->flush();
    validation->commit();
  }
  output.commit();
  return files;
}

}  // namespace coxswain
