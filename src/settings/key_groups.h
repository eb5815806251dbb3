// The parts of the key table that stand in files of their own, and groups of keys that more than one section has.
#pragma once

#include <string>
#include <vector>

#include "settings/key_table.h"

namespace coxswain {

void add_model(std::vector<Key>& keys, const std::string& section, ModelConfig Settings::*group);
void add_grid(std::vector<Key>& keys, const std::string& section, GridConfig Settings::*group);

void add_record_keys(std::vector<Key>& keys);     // key_table_records.cpp: conversations and their preparation
void add_alignment_keys(std::vector<Key>& keys);  // key_table_alignment.cpp: fine-tuning, reward models, PPO

}  // namespace coxswain
