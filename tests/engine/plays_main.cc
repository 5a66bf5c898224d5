// Plays every scenario file given, or found below a folder.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/play.h"

int main(int argc, char** argv) {
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      files.push_back(argv[i]);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (entry.path().extension() == ".play") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  int failed = 0;
  for (const std::string& file : files) {
    const std::string problems = sonde::PlayFile(file);
    if (problems.empty()) continue;
    ++failed;
    std::printf("%s\n%s", file.c_str(), problems.c_str());
  }
  std::printf("%zu passed, %d failed\n", files.size() - static_cast<size_t>(failed), failed);
  return files.empty() || failed > 0;
}
