// The header fields of an answer that anybody will ask for; all others pass by uncopied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/contract/conversation.h"
#include "protocols/http_options.h"

namespace sonde {

// Fed by the parser's callbacks, piece by piece. Part of a conversation.
class HttpFields {
 public:
  void AddName(std::string_view piece);
  // The name is whole: is it one of `module`'s rules', or of our own?
  void EndName(const HttpModule& module, BufferPool& buffers);
  void AddValue(std::string_view piece) {
    if (wanted_) kept_.Append(piece);
  }
  void EndValue();
  void Clear();  // a new answer begins

  // Calls see(value) for each field of that name (lower case), in order, without outer blanks;
  // stops when it returns false.
  template <typename See>
  void ForEach(std::string_view name, See&& see) const;
  // The first one; empty when there is none.
  std::string_view First(std::string_view name) const;

 private:
  static constexpr size_t kMaxName = HttpModule::kMaxRuleName;
  static std::string_view Trimmed(std::string_view value);

  Buffer kept_;  // name NUL value NUL, again and again: the parser lets no NUL through
  char name_[kMaxName];
  uint8_t name_size_ = 0;  // beyond kMaxName: too long to be wanted
  bool wanted_ = false;
};

template <typename See>
void HttpFields::ForEach(std::string_view name, See&& see) const {
  std::string_view rest = kept_.text();
  while (!rest.empty()) {
    const size_t name_end = rest.find('\0');
    const size_t value_end = rest.find('\0', name_end + 1);
    if (value_end == std::string_view::npos) return;  // the last value is not whole
    if (rest.substr(0, name_end) == name &&
        !see(Trimmed(rest.substr(name_end + 1, value_end - name_end - 1)))) {
      return;
    }
    rest.remove_prefix(value_end + 1);
  }
}

}  // namespace sonde
