// How a policy's responses are drawn: as section [generate] says, whichever phase asks for them.
#pragma once

#include "data/conversation.h"
#include "phases/config.h"
#include "rl/sampling.h"

namespace coxswain {

// The tokenizer is the chat's, and must outlive what is returned.
Sampling policy_sampling(const GenerateConfig& generate, std::uint64_t seed, const ChatFormat& chat,
                         const Tokenizer& tokenizer);

}  // namespace coxswain
