// What phase prepare does with each record, as InstructGPT prepared its prompts (Ouyang et al. 2022, section 3.2):
// a length filter, a filter for personal data, no two prompts with a long common prefix, at most so many a user, and
// a split by user, so that no user's words are both trained on and tested with.
//
// Records come in the order of the files, and the first ones stay. Duplicates and the split go by the whole prompt,
// also where its oldest turns are cut: what was one conversation stays on one side. The split is a hash of the user's
// name, keyed by the seed: the same user falls into the same part in every file and however many records there are. A
// record without a user is split by its prompt, and no limit holds for it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "data/personal_data.h"
#include "data/preferences.h"

namespace coxswain {

enum class Duplicates { keep, prompts, records };  // what may not come twice
enum class LongPrompts { drop, shorten };          // shorten: the oldest turns go
enum class PersonalDataRule { keep, mask, drop };

struct PrepareConfig {
  std::string input;                            // files, separated by commas
  RecordKind kind = RecordKind::automatic;      // of all of them; automatic: what the first good record is
  std::string output, validation, test;         // files to write
  std::string report;                           // JSON file to write; empty: output's name with _report.json
  double validation_share = 0, test_share = 0;  // of the users
  Duplicates duplicates = Duplicates::prompts;
  int prefix_length = 200;  // characters that two prompts must share to be the same
  int max_per_user = 200;   // 0: no limit
  int max_prompt_tokens = 1024, max_response_tokens = 1024;
  LongPrompts long_prompts = LongPrompts::drop;
  PersonalDataRule personal_data = PersonalDataRule::drop;

  void check() const;
  std::string report_path() const;

  friend bool operator==(const PrepareConfig&, const PrepareConfig&) = default;
};

enum class Split { train, validation, test };
inline constexpr std::array<const char*, 3> kSplitNames = {"train", "validation", "test"};

// The user's part; the shares are of the hash's range, test first, so that a larger validation share moves nobody out
// of the test set.
Split split_of(const std::string& user, std::uint64_t seed, double validation_share, double test_share);

class Cleaning {
 public:
  Cleaning(const PrepareConfig& config, std::uint64_t seed, const ChatFormat& chat);

  // The part that the record belongs to; its texts may have been masked and responses left out. Throws UnusableRecord.
  Split clean(Record& record, const std::string& place);

  const DropReport& dropped_responses() const { return dropped_responses_; }
  const PersonalCounts& personal() const { return personal_; }  // finds, in records that stayed and in others
  std::int64_t shortened() const { return shortened_; }         // prompts of records that stayed
  std::int64_t users() const { return static_cast<std::int64_t>(kept_of_user_.size()); }

 private:
  std::string filter_text(std::string& text);  // why it cannot stay, or nothing
  // How many of the oldest turns (behind a system's) go, so that the prompt fits; throws UnusableRecord if it cannot.
  std::ptrdiff_t turns_to_cut(const Conversation& prompt) const;
  void filter_prompt(Record& record);
  void check_responses(Record& record, const std::string& place);
  std::string duplicate_key(const Record& record) const;

  PrepareConfig config_;
  std::uint64_t seed_;
  const ChatFormat* chat_;
  PersonalData personal_data_;
  PersonalCounts personal_{};
  DropReport dropped_responses_;
  std::int64_t shortened_ = 0;
  std::unordered_set<std::string> seen_;
  std::unordered_map<std::string, std::int64_t> kept_of_user_;
};

}  // namespace coxswain
