// Memory that is given back as a whole. One thread; nothing in it is destroyed, so it holds
// trivially destructible things only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sonde {

class Arena {
 public:
  Arena() = default;
  Arena(Arena&&) noexcept = default;
  Arena& operator=(Arena&&) noexcept = default;

  std::string_view Copy(std::string_view text) {
    if (text.empty()) return {};
    char* place = Take(text.size(), 1);
    std::memcpy(place, text.data(), text.size());
    return {place, text.size()};
  }

  template <typename T>
  std::span<const T> Copy(std::span<const T> values) {
    static_assert(std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T>);
    if (values.empty()) return {};
    char* place = Take(values.size_bytes(), alignof(T));
    std::memcpy(place, values.data(), values.size_bytes());
    return {reinterpret_cast<const T*>(place), values.size()};
  }

  size_t bytes() const { return bytes_; }  // held, not used

 private:
  char* Take(size_t size, size_t alignment) {
    size_t at = (used_ + alignment - 1) / alignment * alignment;
    if (blocks_.empty() || at + size > capacity_) {
      capacity_ = std::max(size, std::clamp(bytes_, kFirstBlock, kLargestBlock));
      blocks_.push_back(std::make_unique_for_overwrite<char[]>(capacity_));
      bytes_ += capacity_;
      at = 0;
    }
    used_ = at + size;
    return blocks_.back().get() + at;
  }

  static constexpr size_t kFirstBlock = 16 * 1024;
  static constexpr size_t kLargestBlock = 4 * 1024 * 1024;
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t capacity_ = 0;  // of the last block
  size_t used_ = 0;
  size_t bytes_ = 0;
};

}  // namespace sonde
