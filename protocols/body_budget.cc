#include "protocols/body_budget.h"

namespace sonde {

BodyBudget& BodyBudget::Global() {
  static BodyBudget budget;
  return budget;
}

void BodyBudget::SetLimits(uint64_t per_probe, uint64_t per_process) {
  per_probe_.store(per_probe, std::memory_order_relaxed);
  per_process_.store(per_process, std::memory_order_relaxed);
}

bool BodyBudget::Take(uint64_t bytes) {
  // Added first and taken back when too much: two takers may both be refused at the very edge,
  // never both be served.
  const uint64_t before = used_.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes <= per_process()) return true;
  used_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void BodyBudget::Give(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

}  // namespace sonde
