// The part of the table of keys (key_table.h) that the phases of the InstructGPT method bring.
#pragma once

#include <vector>

#include "settings/key_table.h"

namespace coxswain {

void add_chat_keys(std::vector<Key>& keys);

}  // namespace coxswain
