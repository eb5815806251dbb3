// Rules between sections: what one section asks for must fit what the others say.
#pragma once

#include <string>
#include <vector>

#include "settings/settings.h"

namespace coxswain {

class Deck;

// Messages that begin "[section] key = value", none if all is well. Each section has been checked by itself.
std::vector<std::string> cross_checks(const Settings& settings, const Deck& deck);

// "1, 2, 3, 4, 6, 8, 12, 16, ...": the first few divisors.
std::string divisor_list(int number);

}  // namespace coxswain
