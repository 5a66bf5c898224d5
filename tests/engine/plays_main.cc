// Plays every scenario file given, or found below a folder. A folder must show every outcome there
// is: each reason of the table is produced by a play.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/play.h"

// Outcomes no single run of a play can show, and the test that does.
constexpr sonde::Outcome kElsewhere[] = {
    sonde::Outcome::kProberBusy,        // shard_test, RunNow
    sonde::Outcome::kProberCancelled,   // shard_test, Changes
    sonde::Outcome::kValidationTarget,  // probe_endpoint_test: nothing is ever started
    sonde::Outcome::kProberInternal,    // shard_test: a conversation that waits for nothing
};

int main(int argc, char** argv) {
  std::vector<std::string> files;
  bool whole = false;
  int missing = 0;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) {
      files.push_back(argv[i]);
      continue;
    }
    whole = true;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (entry.path().extension() == ".play") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  int failed = 0;
  std::set<sonde::Outcome> shown(std::begin(kElsewhere), std::end(kElsewhere));
  for (const std::string& file : files) {
    sonde::Outcome outcome = sonde::Outcome::kOk;
    const std::string problems = sonde::PlayFile(file, &outcome);
    shown.insert(outcome);
    if (problems.empty()) continue;
    ++failed;
    std::printf("%s\n%s", file.c_str(), problems.c_str());
  }
  for (const sonde::OutcomeInfo& info : sonde::Outcomes()) {
    if (!whole || shown.count(info.outcome) > 0) continue;
    const std::string_view name = sonde::OutcomeName(info.outcome);
    std::printf("no play ends as %.*s\n", static_cast<int>(name.size()), name.data());
    ++missing;
  }
  std::printf("%zu passed, %d failed\n", files.size() - static_cast<size_t>(failed), failed);
  return files.empty() || failed > 0 || missing > 0;
}
