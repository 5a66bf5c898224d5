// Moved to the contract, since the settings of a file name families too.
#pragma once

#include "engine/contract/family_set.h"
