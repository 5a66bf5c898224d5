#include "tests/support/allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace sonde {
namespace {

thread_local constinit AllocationCount thread_count;
constinit std::atomic<uint64_t> process_allocations{0};
constinit std::atomic<uint64_t> process_bytes{0};
constinit std::atomic<int64_t> held_bytes{0};

#if SONDE_COUNTS_ALLOCATIONS
void Hold(int64_t bytes) { held_bytes.fetch_add(bytes, std::memory_order_relaxed); }

// malloc keeps AddressSanitizer's view of every block; null when out of memory.
void* Take(size_t size, size_t alignment = 0) noexcept {
  ++thread_count.allocations;
  thread_count.bytes += size;
  process_allocations.fetch_add(1, std::memory_order_relaxed);
  process_bytes.fetch_add(size, std::memory_order_relaxed);
  if (size == 0) size = 1;
  const size_t whole = alignment == 0 ? size : (size + alignment - 1) / alignment * alignment;
  void* block = alignment == 0 ? std::malloc(size) : std::aligned_alloc(alignment, whole);
  if (block != nullptr) Hold(static_cast<int64_t>(malloc_usable_size(block)));
  return block;
}

void Give(void* block) noexcept {
  if (block != nullptr) Hold(-static_cast<int64_t>(malloc_usable_size(block)));
  std::free(block);
}

void* TakeOrDie(size_t size, size_t alignment = 0) {
  void* block = Take(size, alignment);
  if (block == nullptr) std::abort();
  return block;
}
#endif

}  // namespace

AllocationCount ThreadAllocations() { return thread_count; }

AllocationCount ProcessAllocations() {
  return {process_allocations.load(std::memory_order_relaxed),
          process_bytes.load(std::memory_order_relaxed)};
}

int64_t HeldBytes() { return held_bytes.load(std::memory_order_relaxed); }

}  // namespace sonde

#if SONDE_COUNTS_ALLOCATIONS
using sonde::Give;
using sonde::Take;
using sonde::TakeOrDie;

void* operator new(size_t size) { return TakeOrDie(size); }
void* operator new[](size_t size) { return TakeOrDie(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Take(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Take(size); }
void* operator new(size_t size, std::align_val_t alignment) {
  return TakeOrDie(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return TakeOrDie(size, static_cast<size_t>(alignment));
}
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return Take(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return Take(size, static_cast<size_t>(alignment));
}

void operator delete(void* block) noexcept { Give(block); }
void operator delete[](void* block) noexcept { Give(block); }
void operator delete(void* block, size_t) noexcept { Give(block); }
void operator delete[](void* block, size_t) noexcept { Give(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { Give(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { Give(block); }
void operator delete(void* block, std::align_val_t) noexcept { Give(block); }
void operator delete[](void* block, std::align_val_t) noexcept { Give(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { Give(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { Give(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { Give(block); }
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  Give(block);
}
#endif
