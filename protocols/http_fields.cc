#include "protocols/http_fields.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace sonde {
namespace {

// What the conversation itself asks for.
constexpr std::string_view kOwn[] = {"last-modified", "location", "set-cookie",
                                     "transfer-encoding"};
constexpr uint64_t kOwnSizes =
    uint64_t{1} << 13 | uint64_t{1} << 8 | uint64_t{1} << 10 | uint64_t{1} << 17;
static_assert(std::all_of(std::begin(kOwn), std::end(kOwn), [](std::string_view name) {
  return (kOwnSizes >> name.size() & 1) != 0;
}));

// Is a name of ours or of a rule as long? Nearly all that are not wanted differ in that.
bool IsAsLong(const std::vector<HttpHeaderRule>& rules, size_t size) {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const HttpHeaderRule& rule) { return rule.name.size() == size; });
}

bool IsNamed(const std::vector<HttpHeaderRule>& rules, std::string_view name) {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const HttpHeaderRule& rule) { return rule.name == name; });
}

char Lowered(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

void HttpFields::AddName(std::string_view piece) {
  if (name_size_ > kMaxName || piece.size() > kMaxName - name_size_) {
    name_size_ = kMaxName + 1;
    return;
  }
  std::memcpy(name_ + name_size_, piece.data(), piece.size());
  name_size_ = static_cast<uint8_t>(name_size_ + piece.size());
}

void HttpFields::EndName(const HttpModule& module, BufferPool& buffers) {
  const size_t size = std::exchange(name_size_, uint8_t{0});
  wanted_ = false;
  if (size > kMaxName) return;
  const bool own = size < 64 && (kOwnSizes >> size & 1) != 0;
  if (!own && !(module.has_header_rules() && (IsAsLong(module.header_matches, size) ||
                                              IsAsLong(module.header_not_matches, size)))) {
    return;
  }
  std::transform(name_, name_ + size, name_, Lowered);
  const std::string_view name(name_, size);
  wanted_ = std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn) ||
            IsNamed(module.header_matches, name) || IsNamed(module.header_not_matches, name);
  if (!wanted_) return;
  if (!kept_) kept_ = buffers.Take();
  kept_.Append(name);
  kept_.Append(std::string_view("\0", 1));
}

void HttpFields::EndValue() {
  if (std::exchange(wanted_, false)) kept_.Append(std::string_view("\0", 1));
}

void HttpFields::Clear() {
  if (kept_) kept_.Clear();
  name_size_ = 0;
  wanted_ = false;
}

std::string_view HttpFields::First(std::string_view name) const {
  std::string_view found;
  ForEach(name, [&](std::string_view value) {
    found = value;
    return false;
  });
  return found;
}

std::string_view HttpFields::Trimmed(std::string_view value) {
  const size_t first = value.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return value.substr(first, value.find_last_not_of(" \t\r\n") - first + 1);
}

}  // namespace sonde
