// The files that a deck's list of paths names, and their text on every rank.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "parallel/communicator.h"

namespace coxswain {

// A path, or one with the shell's wildcards: the files that match, in alphabetical order. `key` is for the message of
// Error(data) if there is none: "[data] input".
std::vector<std::string> matching_files(const std::string& pattern, const std::string& key);

// By its ending: .jsonl, .ndjson, .json.
bool is_json(const std::string& path);

// What every reader of text makes of a file's first bytes: Error(data) if there are none, or they are compressed,
// binary or UTF-16; else how many of them are a UTF-8 byte order mark, which is no part of the text.
inline constexpr std::size_t kStartOfText = 8;  // bytes to look at
std::size_t check_start(std::string_view start, const std::string& path, const std::string& key);

// Collective: rank 0 reads the file, so that all ranks have the same text whatever their nodes see. Throws Error(data)
// on every rank if it is missing, no file, empty, compressed or UTF-16. A UTF-8 byte order mark is taken off.
std::string read_on_every_rank(const std::string& path, const std::string& key, Communicator& world);

}  // namespace coxswain
