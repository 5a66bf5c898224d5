#include "protocols/regex.h"

#include <re2/re2.h>

#include <algorithm>
#include <map>

namespace sonde {
namespace {

using re2::RE2;
using re2::StringPiece;

RE2::Options OptionsFor(bool latin1) {
  RE2::Options options;
  options.set_encoding(latin1 ? RE2::Options::EncodingLatin1 : RE2::Options::EncodingUTF8);
  options.set_max_mem(Regex::kMaxBytes);
  options.set_log_errors(false);
  return options;
}

// Go 1.22 also writes named groups as (?<n>..), which this RE2 does not know.
std::string WithPythonGroupNames(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    out.push_back(c);
    if (c == '\\' && i + 1 < pattern.size()) {
      if (pattern[i + 1] == 'Q' && !in_class) {  // literal up to \E
        const size_t end = std::min(pattern.find("\\E", i + 2), pattern.size());
        out.append(pattern.substr(i + 1, end - i - 1));
        i = end - 1;
      } else {
        out.push_back(pattern[++i]);
      }
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
      // A `]` right after the opening, or after its `^`, is a member of the class.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out.push_back(pattern[++i]);
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out.push_back(pattern[++i]);
    } else if (c == '(' && pattern.substr(i, 3) == "(?<" && i + 3 < pattern.size()) {
      out.append("?P<");
      i += 2;
    }
  }
  return out;
}

// \C (any byte) is RE2's own; Go refuses it.
bool UsesByteEscape(std::string_view pattern) {
  for (size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '\\') continue;
    if (pattern[i + 1] == 'C') return true;
    if (pattern[i + 1] == 'Q') {
      i = pattern.find("\\E", i + 2);
      if (i == std::string_view::npos) return false;
    }
    ++i;
  }
  return false;
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  const auto continues = [end](const unsigned char* at) {
    return at < end && (*at & 0xc0) == 0x80;
  };
  while (p < end) {
    const unsigned char c = *p;
    if (c < 0x80) {
      ++p;
    } else if (c >= 0xc2 && c <= 0xdf) {
      if (!continues(p + 1)) return false;
      p += 2;
    } else if ((c & 0xf0) == 0xe0) {
      if (!continues(p + 1) || !continues(p + 2)) return false;
      if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f)) return false;
      p += 3;
    } else if (c >= 0xf0 && c <= 0xf4) {
      if (!continues(p + 1) || !continues(p + 2) || !continues(p + 3)) return false;
      if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f)) return false;
      p += 4;
    } else {
      return false;
    }
  }
  return true;
}

Regex::Regex(std::string_view pattern)
    : pattern_(pattern), compiled_(WithPythonGroupNames(pattern)) {}

Regex::~Regex() {
  for (auto* copies : {&utf8_, &latin1_}) {
    for (auto& copy : *copies) delete copy.load(std::memory_order_relaxed);
  }
}

std::unique_ptr<const Regex> Regex::Compile(std::string_view pattern, std::string* error) {
  std::unique_ptr<Regex> regex(new Regex(pattern));
  auto first = std::make_unique<RE2>(regex->compiled_, OptionsFor(false));
  const bool byte_escape = UsesByteEscape(pattern);
  if (!first->ok() || byte_escape) {
    *error = "\"Could not compile regular expression\" regexp=\"";
    error->append(pattern).append("\": ");
    error->append(byte_escape ? "invalid escape sequence: \\C" : first->error());
    return nullptr;
  }
  regex->group_count_ = static_cast<size_t>(first->NumberOfCapturingGroups());
  regex->utf8_[0].store(first.release(), std::memory_order_release);
  return regex;
}

// Compiled at first use. Two threads that meet here compile twice and keep one.
const RE2& Regex::CopyOf(Copies& copies, unsigned shard, bool latin1) const {
  std::atomic<const RE2*>& place = copies[shard % kCopies];
  if (const RE2* known = place.load(std::memory_order_acquire)) return *known;
  auto made = std::make_unique<const RE2>(compiled_, OptionsFor(latin1));
  const RE2* expected = nullptr;
  if (place.compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) {
    return *made.release();
  }
  return *expected;
}

const RE2& Regex::For(unsigned shard) const { return CopyOf(utf8_, shard, false); }

// Patterns that have no byte-wise form (a code point above 0xff) stay in UTF-8 mode.
const RE2& Regex::ForText(unsigned shard, std::string_view text) const {
  if (!IsValidUtf8(text)) {
    const RE2& bytes = CopyOf(latin1_, shard, true);
    if (bytes.ok()) return bytes;
  }
  return For(shard);
}

bool Regex::Match(unsigned shard, std::string_view text) const {
  const RE2& re = ForText(shard, text);
  return re.Match(StringPiece(text.data(), text.size()), 0, text.size(), RE2::UNANCHORED, nullptr,
                  0);
}

bool Regex::Match(unsigned shard, std::string_view text, Groups* groups) const {
  StringPiece found[kMaxGroups];
  const size_t wanted = std::min(kMaxGroups, group_count_ + 1);
  const RE2& re = ForText(shard, text);
  if (!re.Match(StringPiece(text.data(), text.size()), 0, text.size(), RE2::UNANCHORED, found,
                static_cast<int>(wanted))) {
    return false;
  }
  for (size_t i = 0; i < kMaxGroups; ++i) {
    (*groups)[i] =
        i < wanted ? std::string_view(found[i].data(), found[i].size()) : std::string_view();
  }
  return true;
}

std::vector<int> Regex::GroupsNamed(std::string_view name) const {
  std::vector<int> groups;
  for (const auto& [group, known] : For(0).CapturingGroupNames()) {
    if (known == name) groups.push_back(group);
  }
  return groups;
}

}  // namespace sonde
