// Regular expressions with Go's syntax and meaning, on RE2: unanchored, leftmost-first, linear time
// and bounded memory on hostile input.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace re2 {
class RE2;
}

namespace sonde {

// One pattern, compiled at load and once more by each shard that uses it: a compiled RE2 keeps its
// automaton behind a lock, which shards must not share. Immutable from outside; any thread.
//
// Text that is valid UTF-8 is matched as UTF-8. Text that is not is matched byte by byte
// (Latin-1): Go lets `.` and negated classes match an invalid byte, which RE2's UTF-8 mode never
// does. The two differ from Go only where a count of characters is asked of such mixed text.
class Regex {
 public:
  // Groups a match hands out, the whole match included. Templates may not refer beyond them.
  static constexpr size_t kMaxGroups = 32;
  using Groups = std::array<std::string_view, kMaxGroups>;  // unmatched: data() is null

  // Bytes one compiled copy may take, automaton included; a pattern that needs more to compile is
  // a load error, an automaton that would outgrow it is slower instead.
  static constexpr int64_t kMaxBytes = 4 << 20;

  // Null when the pattern does not compile; `*error` is then blackbox_exporter's text:
  //   "Could not compile regular expression" regexp="<text>"
  // followed by what RE2 says about it.
  static std::unique_ptr<const Regex> Compile(std::string_view pattern, std::string* error);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  bool Match(unsigned shard, std::string_view text) const;
  // On a match `groups` point into `text`; group 0 is the whole match.
  bool Match(unsigned shard, std::string_view text, Groups* groups) const;

  const std::string& pattern() const { return pattern_; }
  size_t group_count() const { return group_count_; }  // without the whole match
  // Groups of this name, leftmost first: a name may be given twice, as in (?P<n>a)|(?P<n>b).
  std::vector<int> GroupsNamed(std::string_view name) const;

  // The compiled copy of a shard (UTF-8 mode).
  const re2::RE2& For(unsigned shard) const;

 private:
  // Shards beyond this many share copies: right all the same, only slower.
  static constexpr size_t kCopies = 32;
  using Copies = std::array<std::atomic<const re2::RE2*>, kCopies>;

  explicit Regex(std::string_view pattern);
  const re2::RE2& CopyOf(Copies& copies, unsigned shard, bool latin1) const;
  const re2::RE2& ForText(unsigned shard, std::string_view text) const;

  std::string pattern_;   // as written
  std::string compiled_;  // as RE2 takes it
  size_t group_count_ = 0;
  mutable Copies utf8_{};
  mutable Copies latin1_{};
};

// Whether `text` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool IsValidUtf8(std::string_view text);

}  // namespace sonde
