// Instant vector selectors of PromQL, as /federate takes them in match[]: `probe_success`,
// `probe_success{name=~"shop-.*"}`, `{__name__=~"probe_.+",team!="web"}`. Pure functions, any
// thread; what they make belongs to one thread.
//
// Text between blanks and comments (`# ...`); strings in double or single quotes with Go's escapes,
// or in backticks without any; a comma may follow the last matcher. A quoted name in the braces
// (`{"probe_success"}`, Prometheus 3) is taken too. Ranges, offsets and everything else of PromQL
// are errors.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace re2 {
class RE2;
}

namespace sonde {

inline constexpr std::string_view kMetricName = "__name__";

// One condition on one label. A label that is absent has the value "".
class LabelMatcher {
 public:
  enum class Op : uint8_t { kEqual, kNotEqual, kMatches, kMatchesNot };

  // Bytes one compiled expression may take, its automaton included: one that does not fit is an
  // error, an automaton that would outgrow it is slower instead.
  static constexpr int64_t kRegexBytes = 256 * 1024;

  // `value` of kMatches and kMatchesNot is an expression in RE2's syntax (Go's), anchored at both
  // ends, whose `.` matches a line end too, as in Prometheus 3. The error is RE2's text.
  static absl::StatusOr<LabelMatcher> Make(std::string name, Op op, std::string value);

  const std::string& name() const { return name_; }
  Op op() const { return op_; }
  const std::string& value() const { return value_; }

  bool Matches(std::string_view text) const;
  // What Matches costs at worst, in comparisons of two texts: 1, or more by the size of the
  // expression.
  size_t cost() const { return 1 + instructions_; }
  // Of the compiled expression; 0 without one.
  size_t instructions() const { return instructions_; }

 private:
  std::string name_, value_;
  Op op_ = Op::kEqual;
  size_t instructions_ = 0;
  std::shared_ptr<const re2::RE2> regex_;  // null: compares
};

// All of them must hold.
using Selector = std::vector<LabelMatcher>;

struct SelectorLimits {
  static constexpr size_t kBytes = 16 * 1024;         // of one selector: what a request can hold
  static constexpr size_t kSelectors = 128;           // of one request
  static constexpr size_t kMatchers = 256;            // of all of them
  static constexpr size_t kRegexes = 64;              // of all of them
  static constexpr size_t kInstructions = 16 * 1024;  // of all compiled expressions together
};

// InvalidArgument with the place, as Prometheus says it: "1:4: parse error: unexpected ...", line
// and column from 1, columns in bytes. A selector that every series fits, since no matcher of it
// refuses the empty text, is an error too.
absl::StatusOr<Selector> ParseSelector(std::string_view text);

// The selectors of one request; none is no error. The error begins with the selector in question.
absl::StatusOr<std::vector<Selector>> ParseSelectors(const std::vector<std::string>& texts);

}  // namespace sonde
