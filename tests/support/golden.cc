#include "tests/support/golden.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace sonde {
namespace {

std::string_view NextLine(std::string_view* rest) {
  const size_t end = rest->find('\n');
  const std::string_view line = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return line;
}

}  // namespace

std::string GoldenDifference(std::string_view name, std::string_view actual) {
  const std::string path = "tests/golden/" + std::string(name);
  const char* update = std::getenv("SONDE_UPDATE_GOLDEN");
  if (update != nullptr && std::string_view(update) == "1") {
    std::ofstream file(path, std::ios::binary);
    file << actual;
    return file.good() ? "" : "cannot write " + path;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot read " + path + " (SONDE_UPDATE_GOLDEN=1 makes it)";
  const std::string expected{std::istreambuf_iterator<char>(file),
                             std::istreambuf_iterator<char>()};
  if (expected == actual) return "";
  std::string_view want = expected, got = actual;
  for (size_t line = 1; !want.empty() || !got.empty(); ++line) {
    const std::string_view wanted = NextLine(&want), given = NextLine(&got);
    if (wanted != given) {
      return path + ":" + std::to_string(line) + ": expected '" + std::string(wanted) + "', got '" +
             std::string(given) + "'";
    }
  }
  return path + ": the ends of lines differ";
}

}  // namespace sonde
