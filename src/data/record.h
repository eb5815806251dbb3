// One line of a JSONL file as the people who wrote it meant it, before it becomes tokens. README.md has the forms.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/conversation.h"

namespace coxswain {

enum class RecordKind { automatic, prompts, demonstrations, comparisons };

const char* kind_name(RecordKind kind);

struct Record {
  Conversation prompt;                       // ends with a user's turn
  std::vector<std::string> responses;        // of a demonstration one, of a comparison two or more
  std::vector<int> ranks;                    // of a comparison, beside the responses: 1 is best, equal is a tie
  Learned learned = Learned::last_response;  // all_responses: those inside the prompt are part of the demonstration
  std::string id, user, labeler, source;     // empty: not given
};

// What a line is by itself, by its keys.
RecordKind kind_of(const nlohmann::json& line);

// The records of a line (more than one only where it has `instances`) as the kind that is wanted: a demonstration or a
// comparison also gives a prompt, and a comparison its best response as a demonstration; automatic: by its own kind.
// Throws BadRecord or UnusableRecord.
std::vector<Record> parse_records(const nlohmann::json& line, RecordKind wanted);

// The line that parse_records() reads as this record.
std::string to_json_line(const Record& record);

// A prompt as one string: the text of its only turn, or else a transcript.
std::string plain_text(const Conversation& prompt);

}  // namespace coxswain
