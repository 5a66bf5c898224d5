// What an operation takes from the heap, as counters of a bench: `allocs_per_op` and
// `bytes_per_op`. They do not depend on the machine or its load: bench/compare gates them.
#pragma once

#include <benchmark/benchmark.h>

#include "tests/support/allocation_counter.h"

namespace sonde {

// Made right before the loop; Report right after it. Of the bench's thread.
class Counted {
 public:
  explicit Counted(benchmark::State& state) : state_(state), before_(ThreadAllocations()) {}

  // What `call` returns. What it takes from the heap is not the operation's.
  template <typename Call>
  auto Without(Call&& call) {
    struct Left {
      Counted& counted;
      const AllocationCount before = ThreadAllocations();
      ~Left() {
        const AllocationCount taken = ThreadAllocations() - before;
        counted.before_.allocations += taken.allocations;
        counted.before_.bytes += taken.bytes;
      }
    };
    const Left left{*this};
    return call();
  }

  void Report(int64_t operations) {
    const AllocationCount taken = ThreadAllocations() - before_;
    const auto per_operation = [operations](uint64_t count) {
      return operations == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(operations);
    };
    state_.SetItemsProcessed(operations);
    state_.counters["allocs_per_op"] = per_operation(taken.allocations);
    state_.counters["bytes_per_op"] = per_operation(taken.bytes);
  }
  void Report() { Report(static_cast<int64_t>(state_.iterations())); }

 private:
  benchmark::State& state_;
  AllocationCount before_;
};

}  // namespace sonde
