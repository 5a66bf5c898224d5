// What /federate can show of a task, as a table: one row per series. Built once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/contract/fact.h"

namespace sonde {

// Where a row's number is read.
enum class FederateSource : uint8_t {
  kResults,
  kFact,
  kFailures,
  kBucket,
  kLatencySum,
  kLatencyCount,
  kRatio,
  kLastRun,
  kText,
};

struct FederateRow {
  std::string name;    // the sample's: of a histogram's bucket with its suffix
  std::string labels;  // constant ones, rendered; "" for none
  FederateSource source;
  FamilyGroup group;
  bool always;   // also without a fresh result, with the labels name and type only
  size_t index;  // of the verdict, fact, outcome, bucket, window or text family
};

// By name; rows of one name stand together and have one source. Any thread.
const std::vector<FederateRow>& FederateRows();

}  // namespace sonde
