// The micro-batch lives in model/, which every reader of it may include.
#pragma once
#include "model/micro_batch.h"
