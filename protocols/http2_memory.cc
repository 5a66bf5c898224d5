#include "protocols/http2_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace sonde {
namespace {

// Stands before each block; keeps what follows aligned for anything.
struct alignas(std::max_align_t) Header {
  size_t size;
};

Header* HeaderOf(void* block) { return static_cast<Header*>(block) - 1; }

}  // namespace

// malloc, realloc and free in one; size 0 frees.
void* Http2Memory::Resize(void* old, size_t size) {
  Header* const before = old ? HeaderOf(old) : nullptr;
  const size_t had = before ? before->size : 0;
  if (size == 0) {
    std::free(before);
    used_ -= had;
    return nullptr;
  }
  if (size > limit_ || used_ - had > limit_ - size) return nullptr;
  auto* const made = static_cast<Header*>(std::realloc(before, sizeof(Header) + size));
  if (!made) return nullptr;
  made->size = size;
  used_ = used_ - had + size;
  peak_ = std::max(peak_, used_);
  return made + 1;
}

nghttp2_mem Http2Memory::Hooks() {
  nghttp2_mem hooks;
  hooks.mem_user_data = this;
  // Of size 0 a block of its own is asked for: null would mean that there is no memory.
  hooks.malloc = [](size_t size, void* self) {
    return static_cast<Http2Memory*>(self)->Resize(nullptr, std::max<size_t>(size, 1));
  };
  hooks.free = [](void* block, void* self) { static_cast<Http2Memory*>(self)->Resize(block, 0); };
  hooks.calloc = [](size_t count, size_t each, void* self) -> void* {
    if (each != 0 && count > SIZE_MAX / each) return nullptr;
    const size_t size = std::max<size_t>(count * each, 1);
    void* const block = static_cast<Http2Memory*>(self)->Resize(nullptr, size);
    if (block) std::memset(block, 0, size);
    return block;
  };
  hooks.realloc = [](void* block, size_t size, void* self) {
    return static_cast<Http2Memory*>(self)->Resize(block, std::max<size_t>(size, 1));
  };
  return hooks;
}

}  // namespace sonde
