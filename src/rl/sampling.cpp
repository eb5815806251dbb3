#include "rl/sampling.h"

#include <algorithm>
#include <stdexcept>

#include "base/random.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kSamplingStream = 0x73616d706c65;  // "sample": apart from weights and dropout

std::uint64_t mixed(std::uint64_t key, std::int64_t value) {  // SplitMix64 (Steele, Lea, Flood 2014)
  key += 0x9e3779b97f4a7c15ull * (static_cast<std::uint64_t>(value) + 1);
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
  return key ^ (key >> 31);
}

bool ends_with(const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& end) {
  return !end.empty() && tokens.size() >= end.size() && std::equal(end.rbegin(), end.rend(), tokens.rbegin());
}

// A stop text in the bytes that the newest token has completed: a token has at least one byte, so the last tokens, as
// many as the text has bytes, hold every occurrence that the newest one takes part in.
bool ends_in_text(const std::vector<std::int32_t>& response, const Sampling& sampling) {
  if (sampling.tokenizer == nullptr) return false;
  return std::any_of(sampling.stop_texts.begin(), sampling.stop_texts.end(), [&](const std::string& stop) {
    const std::size_t count = std::min(stop.size(), response.size());
    const std::string end = sampling.tokenizer->decode({response.data() + (response.size() - count), count});
    return !stop.empty() && end.find(stop) != std::string::npos;
  });
}

}  // namespace

const char* name_of(FinishReason reason) { return reason == FinishReason::stop ? "stop" : "length"; }

void Sampling::check(int vocabulary) const {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(std::string("sampling: ") + what);
  };
  require(temperature >= 0, "the temperature is negative");
  require(top_k >= 0, "top_k is negative");
  require(top_p > 0 && top_p <= 1, "top_p is not in (0, 1]");
  require(max_new_tokens > 0 && min_new_tokens >= 0 && min_new_tokens <= max_new_tokens,
          "lengths must be 0 <= min_new_tokens <= max_new_tokens, and at least one token");
  require(static_cast<int>(banned_tokens(*this).size()) < vocabulary, "every token is a stop token");
  require(stop_texts.empty() || tokenizer != nullptr, "stop_texts need a tokenizer");
}

double sampling_uniform(const Sampling& sampling, const GenerationRequest& request, std::size_t position) {
  const std::uint64_t stream =
      mixed(mixed(mixed(kSamplingStream, sampling.step), request.prompt_index), request.sample);
  return uniform_real({sampling.seed, stream}, position);
}

bool is_stopped(const std::vector<std::int32_t>& response, const Sampling& sampling) {
  if (response.empty() || static_cast<int>(response.size()) < sampling.min_new_tokens) return false;
  const auto& stops = sampling.stop_tokens;
  if (std::find(stops.begin(), stops.end(), response.back()) != stops.end()) return true;
  for (const auto& sequence : sampling.stop_sequences)
    if (ends_with(response, sequence)) return true;
  return ends_in_text(response, sampling);
}

bool bans_stops(const Sampling& sampling, std::size_t position) {
  return static_cast<int>(position) < sampling.min_new_tokens;
}

std::vector<std::int32_t> banned_tokens(const Sampling& sampling) {
  std::vector<std::int32_t> banned = sampling.stop_tokens;
  for (const auto& sequence : sampling.stop_sequences)
    if (sequence.size() == 1) banned.push_back(sequence.front());
  return banned;
}

}  // namespace coxswain
