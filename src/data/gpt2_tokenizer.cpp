#include "data/gpt2_tokenizer.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <queue>
#include <tuple>

#include "base/error.h"
#include "data/byte_characters.h"

namespace coxswain {

namespace {

constexpr std::size_t kShortWord = 64;    // pairs are looked through one by one up to here
constexpr std::size_t kCachedWord = 256;  // longer words hardly come back
constexpr std::size_t kCachedWords = 1u << 18;
constexpr int kLargestVocabulary = 1 << 24;

std::uint64_t key_of(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
}

std::ifstream open(const std::filesystem::path& path, const char* key) {
  std::ifstream file(path, std::ios::binary);
  if (!file || !std::filesystem::is_regular_file(path)) {
    throw Error(ExitCode::data, fmt::format("cannot read {} ([data] {}): GPT-2's tokenizer needs its published "
                                            "vocab.json and merges.txt",
                                            path.string(), key));
  }
  return file;
}

}  // namespace

Gpt2Tokenizer::Gpt2Tokenizer(const std::filesystem::path& vocabulary_file, const std::filesystem::path& merges_file) {
  read_vocabulary(vocabulary_file);
  read_merges(merges_file);
  compute_hash();
}

void Gpt2Tokenizer::read_vocabulary(const std::filesystem::path& path) {
  std::ifstream file = open(path, "vocabulary_file");
  const auto fail = [&](const std::string& what) {
    throw Error(ExitCode::data, fmt::format("{}: {}; is this GPT-2's vocab.json?", path.string(), what));
  };
  nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object()) fail("not a JSON object of tokens and their numbers");
  if (json.size() > kLargestVocabulary)
    fail(fmt::format("{} tokens are more than {}", json.size(), kLargestVocabulary));
  bytes_.resize(json.size());
  std::vector<bool> seen(json.size(), false);
  std::string bytes;
  for (const auto& [text, number] : json.items()) {
    if (!number.is_number_unsigned() || number.get<std::uint64_t>() >= json.size()) {
      fail(fmt::format("token \"{}\" has number {}, allowed are 0 to {}", text, number.dump(), json.size() - 1));
    }
    const auto id = number.get<std::size_t>();
    if (seen[id]) fail(fmt::format("two tokens have number {}", id));
    seen[id] = true;
    if (text == kEndOfDocumentText) {
      end_of_document_ = static_cast<std::int32_t>(id);
      bytes_[id] = text;
      continue;
    }
    if (!bytes_of_characters(text, bytes))
      fail(fmt::format("token {}, \"{}\", has a character that stands for no byte", id, text));
    bytes_[id] = bytes;
    token_of_.emplace(bytes, static_cast<std::int32_t>(id));
  }
  if (end_of_document_ < 0) fail(fmt::format("it lacks {}", kEndOfDocumentText));
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = token_of_.find(std::string(1, static_cast<char>(byte)));
    if (found == token_of_.end()) fail(fmt::format("it lacks a token for byte {:#04x}", byte));
    byte_token_[static_cast<std::size_t>(byte)] = found->second;
  }
}

void Gpt2Tokenizer::read_merges(const std::filesystem::path& path) {
  std::ifstream file = open(path, "merges_file");
  std::string line, left, right;
  for (int number = 1; std::getline(file, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const auto fail = [&](const std::string& what) {
      throw Error(ExitCode::data, fmt::format("{}:{}: {}; is this GPT-2's merges.txt, of the same vocabulary?",
                                              path.string(), number, what));
    };
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
      fail(fmt::format("\"{}\" is not two tokens with a space between them", line));
    }
    const std::string_view view = line;
    if (!bytes_of_characters(view.substr(0, space), left) || !bytes_of_characters(view.substr(space + 1), right)) {
      fail(fmt::format("\"{}\" has a character that stands for no byte", line));
    }
    const auto a = token_of_.find(left), b = token_of_.find(right), merged = token_of_.find(left + right);
    if (a == token_of_.end() || b == token_of_.end() || merged == token_of_.end()) {
      fail(fmt::format("\"{}\" or one of its parts is not in the vocabulary", line));
    }
    const std::uint64_t key = key_of(a->second, b->second);
    if (!merges_.emplace(key, Merge{static_cast<std::int32_t>(merge_order_.size()), merged->second}).second) {
      fail(fmt::format("\"{}\" is there twice", line));
    }
    merge_order_.push_back(key);
  }
  if (merge_order_.empty())
    throw Error(ExitCode::data, path.string() + ": no merges in it; is this GPT-2's merges.txt?");
}

void Gpt2Tokenizer::compute_hash() {
  std::string all;
  for (const std::string& bytes : bytes_) all += fmt::format("{} ", bytes.size()) + bytes;
  for (const std::uint64_t key : merge_order_) all += fmt::format("{:x} ", key);
  const XXH128_hash_t hash = XXH3_128bits(all.data(), all.size());
  hash_ = fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

const Gpt2Tokenizer::Merge* Gpt2Tokenizer::find(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(key_of(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Gpt2Tokenizer::merge_short(Ids& word) const {
  std::array<const Merge*, kShortWord> pairs{};  // pairs[i]: what word[i] and word[i + 1] make
  std::size_t size = word.size();
  for (std::size_t i = 0; i + 1 < size; ++i) pairs[i] = find(word[i], word[i + 1]);
  while (size > 1) {
    std::size_t best = size;
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (pairs[i] && (best == size || pairs[i]->rank < pairs[best]->rank)) best = i;
    }
    if (best == size) break;
    word[best] = pairs[best]->token;
    std::copy(word.begin() + static_cast<std::ptrdiff_t>(best) + 2, word.begin() + static_cast<std::ptrdiff_t>(size),
              word.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(pairs.begin() + best + 1, pairs.begin() + size - 1, pairs.begin() + best);
    --size;
    if (best > 0) pairs[best - 1] = find(word[best - 1], word[best]);
    pairs[best] = best + 1 < size ? find(word[best], word[best + 1]) : nullptr;
  }
  word.resize(size);
}

// The same result in n log n: a queue of pairs by (rank, position) over a linked list of tokens.
void Gpt2Tokenizer::merge_long(Ids& word) const {
  const auto size = static_cast<std::int64_t>(word.size());
  std::vector<std::int64_t> before(word.size()), after(word.size());
  using Entry = std::tuple<std::int32_t, std::int64_t, std::int32_t, std::int32_t>;  // rank, position, left, right
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  const auto at = [&](std::int64_t i) -> std::int32_t& { return word[static_cast<std::size_t>(i)]; };
  const auto next = [&](std::int64_t i) -> std::int64_t& { return after[static_cast<std::size_t>(i)]; };
  const auto previous = [&](std::int64_t i) -> std::int64_t& { return before[static_cast<std::size_t>(i)]; };
  const auto offer = [&](std::int64_t i) {
    if (i < 0 || next(i) >= size) return;
    if (const Merge* merge = find(at(i), at(next(i)))) queue.emplace(merge->rank, i, at(i), at(next(i)));
  };
  for (std::int64_t i = 0; i < size; ++i) next(i) = i + 1, previous(i) = i - 1;
  for (std::int64_t i = 0; i < size; ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, i, left, right] = queue.top();
    queue.pop();
    // Entries of pairs that have since been merged with a neighbour are stale.
    if (at(i) != left || next(i) >= size || at(next(i)) != right) continue;
    const std::int64_t gone = next(i);
    at(i) = find(left, right)->token;
    at(gone) = -1;
    next(i) = next(gone);
    if (next(i) < size) previous(next(i)) = i;
    offer(previous(i));
    offer(i);
  }
  std::erase(word, -1);
}

void Gpt2Tokenizer::encode_word(std::string_view word, Ids& ids) {
  const auto cached = cache_.find(word);
  if (cached != cache_.end()) {
    ids.insert(ids.end(), cached->second.begin(), cached->second.end());
    return;
  }
  Ids merged;
  merged.reserve(word.size());
  for (const char c : word) merged.push_back(byte_token_[static_cast<unsigned char>(c)]);
  if (merged.size() <= kShortWord) {
    merge_short(merged);
  } else {
    merge_long(merged);
  }
  ids.insert(ids.end(), merged.begin(), merged.end());
  if (word.size() > kCachedWord) return;
  if (cache_.size() >= kCachedWords) cache_.clear();
  cache_.emplace(word, std::move(merged));
}

void Gpt2Tokenizer::encode(std::string_view text, Ids& ids) {
  std::vector<std::string_view> words;
  words.reserve(text.size() / 4);
  splitter_.split(text, words);
  for (const std::string_view word : words) encode_word(word, ids);
}

std::string Gpt2Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocabulary_size()) {
      throw Error(ExitCode::data,
                  fmt::format("token {} is outside the vocabulary, 0 to {}", id, vocabulary_size() - 1));
    }
    text += bytes_[static_cast<std::size_t>(id)];
  }
  return text;
}

bool Gpt2Tokenizer::can_cut(std::string_view text, std::size_t position) const {
  return WordSplitter::can_cut(text, position);
}

}  // namespace coxswain
