#include "io/token_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kBlock = 1 << 20;                 // elements read at a time
constexpr std::int64_t kOffsetsCheckedAtOnce = 1 << 20;  // more of them are checked by verify()
constexpr const char* kAdvice = "; make it with [run] phase = tokenize";

std::string hash_text(XXH3_state_t* state) {
  const XXH128_hash_t hash = XXH3_128bits_digest(state);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> new_hash() {
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  if (!state || XXH3_128bits_reset(state.get()) != XXH_OK) throw Error(ExitCode::internal, "XXH3 has no memory");
  return state;
}

hdf5::File open_structure(const std::string& path) {
  try {
    return hdf5::File::open(path);
  } catch (const Error& error) {
    throw Error(error.code(), std::string(error.what()) + ", so no whole token file" + kAdvice);
  }
}

void require_file(const std::filesystem::path& path) {
  std::int64_t size = 0;
  try {
    size = DiskFile::open(path).size();
  } catch (const Error& error) {
    throw Error(error.code(), std::string(error.what()) + kAdvice + ", or correct the path in [data]");
  }
  if (size == 0) throw Error(ExitCode::data, path.string() + " is empty, no token file" + kAdvice);
}

// H5Dget_offset knows the place of contiguous datasets only.
std::int64_t place_of(const hdf5::Dataset& dataset, const std::string& path) {
  try {
    return dataset.file_offset();
  } catch (const Error&) {
    throw Error(ExitCode::data, fmt::format("{}: {} is not stored contiguously (chunked or compressed){}", path,
                                            dataset.name(), kAdvice));
  }
}

}  // namespace

void TokenFile::refuse(const std::string& what) const { throw Error(ExitCode::data, path() + ": " + what); }

TokenFile::TokenFile(const std::filesystem::path& path) {
  require_file(path);
  file_ = DiskFile::open(path);
  const hdf5::File structure = open_structure(path.string());
  for (const char* name : {"version", "tokenizer", "tokenizer_hash", "vocabulary", "end_of_document", "content_hash"}) {
    if (!structure.has_attribute("/", name)) refuse(fmt::format("no attribute {}, so no token file{}", name, kAdvice));
  }
  const std::int64_t version = structure.int_attribute("/", "version");
  if (version != kVersion) refuse(fmt::format("version {} is not known, {} is", version, kVersion));
  const std::int64_t vocabulary = structure.int_attribute("/", "vocabulary");
  if (vocabulary < 1 || vocabulary > INT32_MAX) refuse(fmt::format("vocabulary {} is no size", vocabulary));
  const std::int64_t end = structure.int_attribute("/", "end_of_document");
  if (end < 0 || end >= vocabulary)
    refuse(fmt::format("end_of_document {} is outside the vocabulary {}", end, vocabulary));
  header_.tokenizer = structure.text_attribute("/", "tokenizer");
  header_.tokenizer_hash = structure.text_attribute("/", "tokenizer_hash");
  header_.vocabulary = static_cast<int>(vocabulary);
  header_.end_of_document = static_cast<std::int32_t>(end);
  content_hash_ = structure.text_attribute("/", "content_hash");
  const hdf5::Dataset tokens = structure.open_dataset("/tokens");
  const hdf5::Dataset offsets = structure.open_dataset("/document_offsets");
  token_bytes_ = TokenFileWriter::token_bytes(header_.vocabulary);
  const auto element = token_bytes_ == 2 ? hdf5::Element::u16 : hdf5::Element::i32;
  if (tokens.element() != element || tokens.shape().rank() != 1 || tokens.shape()[0] < 1) {
    refuse(fmt::format("/tokens is {} {}, a vocabulary of {} needs {} of one dimension", name_of(tokens.element()),
                       tokens.shape().str(), vocabulary, name_of(element)));
  }
  if (offsets.element() != hdf5::Element::i64 || offsets.shape().rank() != 1 || offsets.shape()[0] < 2) {
    refuse(fmt::format("/document_offsets is {} {}, it must be i64 [documents + 1]", name_of(offsets.element()),
                       offsets.shape().str()));
  }
  header_.tokens = tokens.shape()[0];
  header_.documents = offsets.shape()[0] - 1;
  tokens_at_ = place_of(tokens, this->path());
  offsets_at_ = place_of(offsets, this->path());
  const std::int64_t room = file_.size();
  const auto width = static_cast<std::int64_t>(token_bytes_);
  if (tokens_at_ > room || header_.tokens > (room - tokens_at_) / width || offsets_at_ > room ||
      header_.documents >= (room - offsets_at_) / 8) {
    refuse(fmt::format("{} bytes are too few for {} tokens and {} documents: the file was cut", room, header_.tokens,
                       header_.documents));
  }
  const std::int64_t first = document_offsets(0, 1).front(), last = document_offsets(header_.documents, 1).front();
  if (first != 0 || last != header_.tokens) {
    refuse(fmt::format("/document_offsets goes from {} to {}, it must go from 0 to the number of tokens, {}", first,
                       last, header_.tokens));
  }
  if (header_.documents <= kOffsetsCheckedAtOnce) check_offsets();
}

void TokenFile::read(std::int64_t first, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  if (first < 0 || count > header_.tokens - first) {
    throw Error(ExitCode::internal, fmt::format("{}: tokens {} to {} were asked for, there are {}", path(), first,
                                                first + count, header_.tokens));
  }
  const std::int64_t place = tokens_at_ + first * static_cast<std::int64_t>(token_bytes_);
  if (token_bytes_ == 2) {
    // Read into the upper half of `out`, then widened from the front: the place written never passes the place read.
    std::byte* upper = reinterpret_cast<std::byte*>(out.data()) + 2 * out.size();
    file_.read(place, {upper, 2 * out.size()});
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::uint16_t id = 0;
      std::memcpy(&id, upper + 2 * i, 2);
      out[i] = id;
    }
  } else {
    file_.read(place, std::as_writable_bytes(out));
  }
  const auto wrong =
      std::find_if(out.begin(), out.end(), [this](std::int32_t id) { return id < 0 || id >= header_.vocabulary; });
  if (wrong != out.end()) {
    // Other ranks read other samples.
    throw Error(ExitCode::data,
                fmt::format("{}: token {} has id {}, the vocabulary of {} allows 0 to {}; the file is "
                            "damaged: make it again",
                            path(), first + (wrong - out.begin()), *wrong, header_.tokenizer, header_.vocabulary - 1))
        .on_this_rank();
  }
}

std::vector<std::int64_t> TokenFile::document_offsets(std::int64_t first, std::int64_t count) const {
  if (first < 0 || count > header_.documents + 1 - first)
    throw Error(ExitCode::internal, path() + ": no such documents");
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(count));
  file_.read(offsets_at_ + 8 * first, std::as_writable_bytes(std::span(offsets)));
  return offsets;
}

void TokenFile::check_offsets() const {
  std::int64_t previous = -1;
  for (std::int64_t first = 0; first <= header_.documents; first += kBlock) {
    const std::int64_t count = std::min(kBlock, header_.documents + 1 - first);
    std::int64_t document = first;
    for (const std::int64_t offset : document_offsets(first, count)) {
      if (offset <= previous || offset > header_.tokens) {
        refuse(
            fmt::format("/document_offsets[{}] = {} does not lie between {} and {}: the file is damaged, make it "
                        "again",
                        document, offset, previous + 1, header_.tokens));
      }
      previous = offset;
      ++document;
    }
  }
}

void TokenFile::verify() const {
  const auto hash = new_hash();
  std::vector<std::int32_t> ids;
  std::vector<std::byte> stored;
  for (std::int64_t first = 0; first < header_.tokens; first += kBlock) {
    ids.resize(static_cast<std::size_t>(std::min(kBlock, header_.tokens - first)));
    read(first, ids);
    stored.clear();
    store_tokens(ids, header_.vocabulary, stored);
    XXH3_128bits_update(hash.get(), stored.data(), stored.size());
  }
  check_offsets();
  for (std::int64_t first = 0; first <= header_.documents; first += kBlock) {
    const auto offsets = document_offsets(first, std::min(kBlock, header_.documents + 1 - first));
    XXH3_128bits_update(hash.get(), offsets.data(), 8 * offsets.size());
  }
  const std::string found = hash_text(hash.get());
  if (found != content_hash_)
    refuse(fmt::format("its contents have hash {}, {} was written: make it again", found, content_hash_));
}

TokenFileWriter::TokenFileWriter(const std::filesystem::path& path, const TokenFileHeader& header)
    : path_(path), temporary_(path.string() + ".tmp"), header_(header), hash_(new_hash().release()) {
  structure_ = hdf5::File::create(temporary_.string());
  const bool narrow = token_bytes(header.vocabulary) == 2;
  tokens_at_ = structure_.create_dataset("/tokens", narrow ? hdf5::Element::u16 : hdf5::Element::i32, {header.tokens})
                   .file_offset();
  offsets_at_ =
      structure_.create_dataset("/document_offsets", hdf5::Element::i64, {header.documents + 1}).file_offset();
  file_ = DiskFile::modify(temporary_);
  const std::int64_t zero = 0;
  file_.write(offsets_at_, std::as_bytes(std::span(&zero, 1)));
  offset_bytes_done_ = 8;
}

TokenFileWriter::~TokenFileWriter() {
  if (committed_) return;
  std::error_code ignored;
  std::filesystem::remove(temporary_, ignored);
}

void TokenFileWriter::append(std::span<const std::byte> bytes, std::int64_t start, std::int64_t& done,
                             std::int64_t total) {
  const auto count = static_cast<std::int64_t>(bytes.size());
  if (count > total - done) throw Error(ExitCode::internal, fmt::format("{}: more than was announced", path_.string()));
  file_.write(start + done, bytes);
  XXH3_128bits_update(hash_.get(), bytes.data(), bytes.size());
  done += count;
}

void TokenFileWriter::append_tokens(std::span<const std::byte> stored) {
  const auto width = static_cast<std::int64_t>(token_bytes(header_.vocabulary));
  append(stored, tokens_at_, token_bytes_done_, header_.tokens * width);
}

void TokenFileWriter::append_document_ends(std::span<const std::int64_t> ends) {
  if (offset_bytes_done_ == 8) {
    const std::int64_t zero = 0;
    XXH3_128bits_update(hash_.get(), &zero, 8);
  }
  append(std::as_bytes(ends), offsets_at_, offset_bytes_done_, 8 * (header_.documents + 1));
}

void TokenFileWriter::commit() {
  const auto width = static_cast<std::int64_t>(token_bytes(header_.vocabulary));
  if (token_bytes_done_ != header_.tokens * width || offset_bytes_done_ != 8 * (header_.documents + 1)) {
    throw Error(ExitCode::internal, fmt::format("{}: less than was announced", path_.string()));
  }
  file_.close();
  structure_.set_attribute("/", "version", kVersion);
  structure_.set_attribute("/", "tokenizer", header_.tokenizer);
  structure_.set_attribute("/", "tokenizer_hash", header_.tokenizer_hash);
  structure_.set_attribute("/", "vocabulary", std::int64_t{header_.vocabulary});
  structure_.set_attribute("/", "end_of_document", std::int64_t{header_.end_of_document});
  structure_.set_attribute("/", "content_hash", hash_text(hash_.get()));
  structure_.close();
  commit_file(temporary_, path_);
  committed_ = true;
}

void write_token_file(const std::filesystem::path& path, TokenFileHeader header, std::span<const std::int32_t> tokens,
                      std::span<const std::int64_t> document_ends) {
  header.tokens = static_cast<std::int64_t>(tokens.size());
  header.documents = static_cast<std::int64_t>(document_ends.size());
  TokenFileWriter writer(path, header);
  std::vector<std::byte> stored;
  store_tokens(tokens, header.vocabulary, stored);
  writer.append_tokens(stored);
  writer.append_document_ends(document_ends);
  writer.commit();
}

void store_tokens(std::span<const std::int32_t> tokens, int vocabulary, std::vector<std::byte>& bytes) {
  const std::size_t start = bytes.size();
  const std::size_t width = TokenFileWriter::token_bytes(vocabulary);
  bytes.resize(start + width * tokens.size());
  if (width == 4) {
    if (!tokens.empty()) std::memcpy(bytes.data() + start, tokens.data(), 4 * tokens.size());
    return;
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<std::uint16_t>(tokens[i]);
    std::memcpy(bytes.data() + start + 2 * i, &id, 2);
  }
}

}  // namespace coxswain
