// Golden files: what a whole output looked like when somebody last read it and found it right.
#pragma once

#include <string>
#include <string_view>

namespace sonde {

// Compares `actual` with tests/golden/<name>. "" when they are equal, else where they part, in
// words: EXPECT_EQ(GoldenDifference("metrics.txt", page), "").
// With SONDE_UPDATE_GOLDEN=1 in the environment the file is written instead, and "" returned: look
// at `git diff` before committing it. Paths are relative to the source tree, where ctest runs.
std::string GoldenDifference(std::string_view name, std::string_view actual);

}  // namespace sonde
