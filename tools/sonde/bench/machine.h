// The machine a bench runs on, and which processors of it get what.
#pragma once

#include <string>
#include <vector>

namespace sonde {

struct Machine {
  std::string processor, kernel, date;  // the model; now, as people write it
  unsigned cores = 0;
  double load = 0;          // of the last minute
  double memory_bytes = 0;  // available to programs
  double ports = 0;         // local ports a connection to one destination may use
};
Machine ThisMachine();

// Prober and farm on processors of their own, as far as there are enough: the prober gets the last
// ones. Otherwise both lists are empty.
struct Placement {
  std::vector<int> prober, farm;
};
Placement PlacementOf(const std::vector<int>& cpus, unsigned shards);

}  // namespace sonde
