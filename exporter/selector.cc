#include "exporter/selector.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "engine/contract/scalar_text.h"

namespace sonde {
namespace {

using Op = LabelMatcher::Op;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

int DigitOf(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

void AppendCodePoint(std::string* out, uint32_t c) {
  const auto tail = [&](unsigned shift) {
    out->push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3f)));
  };
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (c >> 6)));
    tail(0);
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | (c >> 12)));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xf0 | (c >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

// Escapes of one byte, and what they stand for.
constexpr std::string_view kEscapes = "abfnrtv\\", kEscaped = "\a\b\f\n\r\t\v\\";

// Escapes that are a number: after which letter, how many digits, of which base.
struct NumberEscape {
  char letter;  // '0': the first digit itself
  int digits;
  uint32_t base;
  uint32_t most;
};
constexpr std::array<NumberEscape, 4> kNumberEscapes = {
    {{'x', 2, 16, 255}, {'u', 4, 16, 0x10ffff}, {'U', 8, 16, 0x10ffff}, {'0', 3, 8, 255}}};

// What is left of the limits that hold for all selectors of a request. Taken before an expression
// is compiled, for compiling is what costs.
struct SelectorBudget {
  size_t matchers = SelectorLimits::kMatchers;
  size_t regexes = SelectorLimits::kRegexes;
  size_t instructions = SelectorLimits::kInstructions;
};

class Parser {
 public:
  // `budget`: what the request's selectors may still hold.
  Parser(std::string_view text, SelectorBudget& budget) : text_(text), budget_(budget) {}

  absl::StatusOr<Selector> Read() {
    if (text_.size() > SelectorLimits::kBytes) {
      Fail(0, "longer than " + std::to_string(SelectorLimits::kBytes) + " bytes");
    } else {
      ReadSelector();
    }
    if (!error_.ok()) return error_;
    return std::move(selector_);
  }

 private:
  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }

  bool Fail(size_t at, std::string message) {
    if (!error_.ok()) return false;  // the first is the cause
    const std::string_view before = text_.substr(0, at);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t begin = before.rfind('\n') + 1;  // npos + 1 is 0
    error_ =
        absl::InvalidArgumentError(std::to_string(line) + ":" + std::to_string(at - begin + 1) +
                                   ": parse error: " + std::move(message));
    return false;
  }
  bool Unexpected(std::string_view expected) {
    std::string message = "unexpected ";
    message += AtEnd() ? "end of input" : "character " + Quote(text_.substr(at_, WholeCharacter()));
    if (!expected.empty()) message.append(", expected ").append(expected);
    return Fail(at_, std::move(message));
  }
  // A message shows no half of a character.
  size_t WholeCharacter() const {
    size_t length = 1;
    while (at_ + length < text_.size() && (text_[at_ + length] & 0xc0) == 0x80) ++length;
    return length;
  }

  void SkipBlanks() {
    constexpr std::string_view kBlanks = " \t\n\r";
    while (!AtEnd()) {
      if (kBlanks.find(Peek()) != std::string_view::npos) {
        ++at_;
      } else if (Peek() == '#') {
        at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
      } else {
        return;
      }
    }
  }

  std::string_view TakeName(bool colons) {
    const size_t begin = at_;
    const auto starts = [colons](char c) { return IsNameStart(c) || (colons && c == ':'); };
    if (AtEnd() || !starts(Peek())) return {};
    while (!AtEnd() && (starts(Peek()) || IsDigit(Peek()))) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  void ReadSelector() {
    SkipBlanks();
    begin_ = at_;
    const std::string_view name = TakeName(true);
    if (!name.empty()) Add(std::string(kMetricName), Op::kEqual, std::string(name));
    named_ = !name.empty();
    SkipBlanks();
    if (Peek() == '{') {
      if (!ReadBraces()) return;
    } else if (name.empty()) {
      Unexpected("a metric name or '{'");
      return;
    }
    SkipBlanks();
    if (!AtEnd()) {
      Unexpected("the end of the selector");
    } else if (std::all_of(selector_.begin(), selector_.end(),
                           [](const LabelMatcher& matcher) { return matcher.Matches(""); })) {
      Fail(begin_, "vector selector must contain at least one non-empty matcher");
    }
  }

  bool ReadBraces() {
    for (++at_;;) {
      SkipBlanks();
      if (Peek() == '}') break;
      if (!ReadMatcher()) return false;
      SkipBlanks();
      if (Peek() == '}') break;
      if (Peek() != ',') return Unexpected("',' or '}'");
      ++at_;
    }
    ++at_;
    return true;
  }

  bool ReadMatcher() {
    const size_t begin = at_;
    std::string name(TakeName(false));
    const bool quoted = name.empty();
    if (quoted && !ReadString("a label name or '}'", &name)) return false;
    SkipBlanks();
    if (quoted && (Peek() == ',' || Peek() == '}')) {
      if (named_) return NamedTwice(begin);
      named_ = true;
      return Add(std::string(kMetricName), Op::kEqual, std::move(name));
    }
    const std::optional<Op> op = TakeOp();
    if (!op) return Unexpected("'=', '!=', '=~' or '!~'");
    SkipBlanks();
    const size_t value_begin = at_;
    std::string value;
    if (!ReadString("a string", &value)) return false;
    if (name == kMetricName && named_) return NamedTwice(begin);
    return Add(std::move(name), *op, std::move(value), value_begin);
  }

  bool NamedTwice(size_t at) { return Fail(at, "metric name must not be set twice"); }

  std::optional<Op> TakeOp() {
    constexpr std::array<std::pair<std::string_view, Op>, 4> kOps = {
        {{"=~", Op::kMatches}, {"!~", Op::kMatchesNot}, {"!=", Op::kNotEqual}, {"=", Op::kEqual}}};
    for (const auto& [word, op] : kOps) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return op;
    }
    return std::nullopt;
  }

  bool Add(std::string name, Op op, std::string value, size_t at = 0) {
    const bool regex = op == Op::kMatches || op == Op::kMatchesNot;
    if (!Take(budget_.matchers, 1)) return TooMany(at, SelectorLimits::kMatchers, "matchers");
    if (regex && !Take(budget_.regexes, 1)) {
      return TooMany(at, SelectorLimits::kRegexes, "regular expressions");
    }
    auto matcher = LabelMatcher::Make(std::move(name), op, std::move(value));
    if (!matcher.ok()) return Fail(at, std::string(matcher.status().message()));
    if (!Take(budget_.instructions, matcher->instructions())) {
      return Fail(at, "the regular expressions of one request are too large together");
    }
    selector_.push_back(*std::move(matcher));
    return true;
  }

  static bool Take(size_t& left, size_t wanted) {
    if (wanted > left) return false;
    left -= wanted;
    return true;
  }
  bool TooMany(size_t at, size_t most, std::string_view what) {
    return Fail(at,
                "more than " + std::to_string(most) + " " + std::string(what) + " in one request");
  }

  bool ReadString(std::string_view expected, std::string* out) {
    const char quote = Peek();
    if (quote != '"' && quote != '\'' && quote != '`') return Unexpected(expected);
    const size_t begin = at_++;
    for (;;) {
      if (AtEnd() || (Peek() == '\n' && quote != '`')) {
        return Fail(begin, "unterminated quoted string");
      }
      const char c = text_[at_];
      if (c == quote) break;
      if (c == '\\' && quote != '`') {
        if (!ReadEscape(quote, out)) return false;
      } else {
        out->push_back(c);
        ++at_;
      }
    }
    ++at_;
    return true;
  }

  bool ReadEscape(char quote, std::string* out) {
    const size_t begin = at_++;
    const char c = Peek();
    if (AtEnd()) return Fail(begin, "escape sequence not terminated");
    if (const size_t known = kEscapes.find(c); known != std::string_view::npos || c == quote) {
      out->push_back(c == quote ? quote : kEscaped[known]);
      ++at_;
      return true;
    }
    for (const NumberEscape& escape : kNumberEscapes) {
      const bool octal = escape.letter == '0';
      if (octal ? c < '0' || c > '7' : c != escape.letter) continue;
      if (!octal) ++at_;
      return ReadNumber(escape, begin, out);
    }
    return Fail(begin, "unknown escape sequence");
  }

  bool ReadNumber(const NumberEscape& escape, size_t begin, std::string* out) {
    uint64_t number = 0;
    for (int i = 0; i < escape.digits; ++i, ++at_) {
      const auto digit = static_cast<uint32_t>(AtEnd() ? 16 : DigitOf(Peek()));
      if (digit >= escape.base) return Fail(begin, "escape sequence with too few digits");
      number = number * escape.base + digit;
    }
    if (number > escape.most || (number >= 0xd800 && number < 0xe000)) {
      return Fail(begin, "escape sequence is no valid code point");
    }
    if (escape.most == 255) {
      out->push_back(static_cast<char>(number));
    } else {
      AppendCodePoint(out, static_cast<uint32_t>(number));
    }
    return true;
  }

  const std::string_view text_;
  SelectorBudget& budget_;
  size_t at_ = 0, begin_ = 0;
  bool named_ = false;  // by a name before the braces, or a quoted one in them
  Selector selector_;
  absl::Status error_;
};

}  // namespace

absl::StatusOr<LabelMatcher> LabelMatcher::Make(std::string name, Op op, std::string value) {
  LabelMatcher matcher;
  matcher.name_ = std::move(name);
  matcher.op_ = op;
  matcher.value_ = std::move(value);
  if (op == Op::kEqual || op == Op::kNotEqual) return matcher;
  re2::RE2::Options options;
  options.set_max_mem(kRegexBytes);
  options.set_log_errors(false);
  options.set_dot_nl(true);
  options.set_never_capture(true);
  auto regex = std::make_shared<const re2::RE2>(
      re2::StringPiece(matcher.value_.data(), matcher.value_.size()), options);
  if (!regex->ok()) {
    return absl::InvalidArgumentError("error parsing regexp: " + regex->error());
  }
  matcher.instructions_ = static_cast<size_t>(std::max(1, regex->ProgramSize()));
  matcher.regex_ = std::move(regex);
  return matcher;
}

bool LabelMatcher::Matches(std::string_view text) const {
  const bool holds = regex_ == nullptr
                         ? text == value_
                         : re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex_);
  return holds == (op_ == Op::kEqual || op_ == Op::kMatches);
}

absl::StatusOr<Selector> ParseSelector(std::string_view text) {
  SelectorBudget budget;
  return Parser(text, budget).Read();
}

absl::StatusOr<std::vector<Selector>> ParseSelectors(const std::vector<std::string>& texts) {
  if (texts.size() > SelectorLimits::kSelectors) {
    return absl::InvalidArgumentError("match[]: more than " +
                                      std::to_string(SelectorLimits::kSelectors) +
                                      " selectors in one request");
  }
  SelectorBudget budget;
  std::vector<Selector> selectors;
  for (const std::string& text : texts) {
    auto selector = Parser(text, budget).Read();
    if (!selector.ok()) {
      return absl::InvalidArgumentError("match[] " + Quote(text) + ": " +
                                        std::string(selector.status().message()));
    }
    selectors.push_back(*std::move(selector));
  }
  return selectors;
}

}  // namespace sonde
