// Small operations on text that decks and messages need.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coxswain {

std::string trim(std::string_view text);  // without white space at both ends

// Trimmed parts between the separators; an empty text has none.
std::vector<std::string> split(std::string_view text, char separator);

// Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other (optimal string
// alignment, the restricted Damerau-Levenshtein distance).
int edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest distance, the first of several; empty if none is near enough to be a likely slip
// (a third of the word's length, at least two).
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

// Control characters and '#' as \n, \t, \\, \x23 ...; white space at the ends as \x20. A deck line can hold any text.
std::string escape(std::string_view text);
std::string unescape(std::string_view text);  // throws std::invalid_argument that says what is allowed

// Breaks at spaces so that no line is longer than width, if it can be helped.
std::vector<std::string> wrap(std::string_view text, std::size_t width);

}  // namespace coxswain
