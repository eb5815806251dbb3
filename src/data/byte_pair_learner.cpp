#include "data/byte_pair_learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>
#include <unordered_map>

#include "data/byte_characters.h"

namespace coxswain {

namespace {

using Pair = std::pair<std::int32_t, std::int32_t>;

// GPT-2's order: by the character that stands for the byte.
std::array<std::int32_t, 256> token_of_byte() {
  std::array<int, 256> bytes{};
  std::iota(bytes.begin(), bytes.end(), 0);
  const auto character = [](int byte) { return byte_characters()[static_cast<std::size_t>(byte)]; };
  std::sort(bytes.begin(), bytes.end(), [&](int a, int b) { return character(a) < character(b); });
  std::array<std::int32_t, 256> tokens{};
  for (std::size_t i = 0; i < bytes.size(); ++i) tokens[static_cast<std::size_t>(bytes[i])] = static_cast<int>(i);
  return tokens;
}

// All words as tokens, with the counts of neighbours kept up to date.
class Words {
 public:
  explicit Words(const WordCounts& words) {
    const std::array<std::int32_t, 256> tokens = token_of_byte();
    for (const auto& [text, count] : words) {
      Word word{.count = count};
      for (const char byte : text) word.tokens.push_back(tokens[static_cast<unsigned char>(byte)]);
      words_.push_back(std::move(word));
      count_pairs(words_.size() - 1, 1);
    }
  }

  bool has_pairs() const { return !order_.empty(); }
  Pair most_frequent() const { return {std::get<1>(*order_.begin()), std::get<2>(*order_.begin())}; }

  void merge(Pair pair, std::int32_t token) {
    const std::vector<std::size_t> with_pair = std::move(pairs_.at(key(pair)).words);
    for (const std::size_t place : with_pair) {
      if (!has(words_[place].tokens, pair)) continue;  // listed twice, or gone by an earlier merge
      count_pairs(place, -1);
      replace(words_[place].tokens, pair, token);
      count_pairs(place, 1);
    }
  }

 private:
  struct Word {
    std::vector<std::int32_t> tokens{};
    std::int64_t count = 0;  // in the text
  };
  struct Neighbours {
    std::int64_t count = 0;
    std::vector<std::size_t> words{};  // that have or had them
  };

  static std::uint64_t key(Pair pair) {
    return static_cast<std::uint64_t>(pair.first) << 32 | static_cast<std::uint32_t>(pair.second);
  }
  static bool has(const std::vector<std::int32_t>& tokens, Pair pair) {
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i)
      if (tokens[i] == pair.first && tokens[i + 1] == pair.second) return true;
    return false;
  }
  static void replace(std::vector<std::int32_t>& tokens, Pair pair, std::int32_t token) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i, ++kept) {
      const bool found = i + 1 < tokens.size() && tokens[i] == pair.first && tokens[i + 1] == pair.second;
      tokens[kept] = found ? token : tokens[i];
      if (found) ++i;
    }
    tokens.resize(kept);
  }

  void count_pairs(std::size_t place, int sign) {
    const Word& word = words_[place];
    for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      const Pair pair{word.tokens[i], word.tokens[i + 1]};
      Neighbours& neighbours = pairs_[key(pair)];
      order_.erase({-neighbours.count, pair.first, pair.second});
      neighbours.count += sign * word.count;
      if (sign > 0) neighbours.words.push_back(place);
      if (neighbours.count > 0) order_.insert({-neighbours.count, pair.first, pair.second});
    }
  }

  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Neighbours> pairs_;
  std::set<std::tuple<std::int64_t, std::int32_t, std::int32_t>> order_;  // -count, left, right
};

}  // namespace

void WordCounter::encode(std::string_view text, std::vector<std::int32_t>&) {
  std::vector<std::string_view> words;
  splitter_.split(text, words);
  for (const std::string_view word : words) {
    const auto known = counts_.find(word);
    if (known == counts_.end())
      counts_.emplace(word, 1);
    else
      ++known->second;
  }
}

BytePairs learn_byte_pairs(const WordCounts& counts, int vocabulary) {
  BytePairs learned;
  learned.tokens.resize(256);
  const std::array<std::int32_t, 256> tokens = token_of_byte();
  for (std::size_t byte = 0; byte < tokens.size(); ++byte)
    learned.tokens[static_cast<std::size_t>(tokens[byte])] = static_cast<char>(byte);
  Words words(counts);
  while (std::ssize(learned.tokens) + 1 < vocabulary && words.has_pairs()) {
    const Pair pair = words.most_frequent();
    const auto bytes = [&](std::int32_t token) { return learned.tokens[static_cast<std::size_t>(token)]; };
    learned.merges.push_back(pair);
    learned.tokens.push_back(bytes(pair.first) + bytes(pair.second));
    words.merge(pair, static_cast<std::int32_t>(learned.tokens.size()) - 1);
  }
  return learned;
}

std::string BytePairs::vocabulary_json() const {
  std::string text = "{";
  for (std::size_t token = 0; token < tokens.size(); ++token)
    text += fmt::format("{}: {}, ", nlohmann::json(characters_of_bytes(tokens[token])).dump(), token);
  return text + fmt::format("\"{}\": {}}}\n", kEndOfDocumentText, tokens.size());
}

std::string BytePairs::merges_text() const {
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right] : merges) {
    text += characters_of_bytes(tokens[static_cast<std::size_t>(left)]) + ' ' +
            characters_of_bytes(tokens[static_cast<std::size_t>(right)]) + '\n';
  }
  return text;
}

}  // namespace coxswain
