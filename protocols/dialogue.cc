#include "protocols/dialogue.h"

#include <algorithm>

namespace sonde {
namespace {

// At most `limit` bytes, not cut within a UTF-8 sequence.
std::string_view Clip(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  size_t end = limit;
  while (end > 0 && limit - end < 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) {
    --end;
  }
  return text.substr(0, end);
}

}  // namespace

bool Dialogue::AllPlayed() const {
  return step_ >= script_.entries.size() + (contains_.empty() ? 0 : 1);
}

Dialogue::Progress Dialogue::Resume(Output& out) {
  known_ = 0;
  return Play({}, false, out);
}

Dialogue::Progress Dialogue::OnBytes(Bytes in, Output& out) {
  Note(in);
  if (received_ > kTotalLimit) return {0, State::kFailed, Outcome::kDialogueTooLarge};
  const Progress progress = Play(in, false, out);
  known_ = in.size() - progress.consumed;
  return progress;
}

Dialogue::Progress Dialogue::OnPeerClosed(PeerClose how, Bytes rest, Output& out) {
  if (how == PeerClose::kReset) {
    return {0, State::kFailed, any_byte() ? Outcome::kDialogueReset : Outcome::kFirstByteReset};
  }
  Progress progress = Play(rest, true, out);
  if (progress.state == State::kSecure) return {0, State::kFailed, Outcome::kTlsClosed};
  if (progress.state != State::kWaiting) return progress;
  // What was awaited can no longer come.
  const bool awaits_line = entry() && entry()->expect;
  if (awaits_line) failed_regex_ = true;
  const bool spoke_otherwise = line_seen_ || !entry();
  progress.state = State::kFailed;
  progress.outcome = !any_byte()       ? Outcome::kFirstByteClosed
                     : spoke_otherwise ? Outcome::kDialogueMismatch
                                       : Outcome::kDialogueClosed;
  return progress;
}

Outcome Dialogue::OnDeadline() const {
  return any_byte() ? Outcome::kDialogueTimeout : Outcome::kFirstByteTimeout;
}

Dialogue::Progress Dialogue::Play(Bytes in, bool at_end, Output& out) {
  Progress progress;
  const std::string_view text = AsText(in);
  while (!AllPlayed()) {
    size_t used = 0;
    const Got got = Await(text.substr(progress.consumed), at_end, &used, out);
    progress.consumed += used;
    if (got == Got::kNotYet) return progress;
    if (got != Got::kYes) {
      progress.state = State::kFailed;
      progress.outcome =
          got == Got::kTooLarge ? Outcome::kDialogueTooLarge : Outcome::kDialogueMismatch;
      return progress;
    }
    const bool secure = entry() && entry()->starttls;
    NextStep();
    if (secure) {
      progress.state = State::kSecure;
      return progress;
    }
  }
  progress.state = State::kDone;
  return progress;
}

void Dialogue::NextStep() {
  ++step_;
  scanned_ = 0;
  matched_ = 0;
  line_seen_ = false;
  last_size_ = 0;
}

// Awaits what the step awaits and, on kYes, has said what it says.
Dialogue::Got Dialogue::Await(std::string_view in, bool at_end, size_t* used, Output& out) {
  const DialogueEntry* const now = entry();
  if (!now) return AwaitText(in, used);
  if (now->expect) return AwaitLine(*now, in, at_end, used, out);
  if (!now->expect_bytes.empty()) {
    const Got got = AwaitBytes(in, used);
    if (got != Got::kYes) return got;
  }
  Say(*now, out);
  return Got::kYes;
}

Dialogue::Got Dialogue::AwaitLine(const DialogueEntry& now, std::string_view in, bool at_end,
                                  size_t* used, Output& out) {
  while (true) {
    std::string_view line;
    const Got got = now.expect_length > 0 ? TakeLength(now, in, used, &line)
                                          : TakeLine(now, in, at_end, used, &line);
    if (got != Got::kYes) return got;
    if (Matches(now, line, out)) {
      failed_regex_ = false;
      return Got::kYes;
    }
    Remember(line, true);
    const bool skipped =
        now.expect_length == 0 && !(now.expect_not && now.expect_not->Match(context_.shard, line));
    if (skipped) continue;
    failed_regex_ = true;
    return Got::kMismatch;
  }
}

// The next line, without its end. How the bytes are cut into reads must not matter: a line is too
// large when it is so whole.
Dialogue::Got Dialogue::TakeLine(const DialogueEntry& now, std::string_view in, bool at_end,
                                 size_t* used, std::string_view* line) {
  const bool plain = now.expect_until.empty();
  const std::string_view ending = plain ? std::string_view("\n") : now.expect_until;
  const std::string_view rest = in.substr(*used);
  const size_t end = rest.find(ending, scanned_);
  const bool ended = end != std::string_view::npos;
  if (ended ? end + ending.size() > kLineLimit : rest.size() >= kLineLimit) return Got::kTooLarge;
  if (!ended && (!at_end || rest.empty())) {
    scanned_ = static_cast<uint32_t>(rest.size() - std::min(rest.size(), ending.size() - 1));
    if (!rest.empty()) Remember(rest, false);
    return Got::kNotYet;
  }
  *line = rest.substr(0, end);
  *used += ended ? end + ending.size() : rest.size();
  scanned_ = 0;
  if (plain && !line->empty() && line->back() == '\r') line->remove_suffix(1);
  return Got::kYes;
}

Dialogue::Got Dialogue::TakeLength(const DialogueEntry& now, std::string_view in, size_t* used,
                                   std::string_view* piece) {
  if (in.size() < now.expect_length) {
    if (!in.empty()) Remember(in, false);
    return Got::kNotYet;
  }
  *piece = in.substr(0, now.expect_length);
  *used = now.expect_length;
  return Got::kYes;
}

bool Dialogue::Matches(const DialogueEntry& now, std::string_view line, Output& out) {
  if (!now.needs_groups) {
    if (!now.expect->Match(context_.shard, line)) return false;
    Say(now, out);
    return true;
  }
  Regex::Groups groups;
  if (!now.expect->Match(context_.shard, line, &groups)) return false;
  for (const DialogueEntry::Label& label : now.labels) {
    const std::string value = label.value.Expand(groups);
    const auto known = std::find_if(labels_.begin(), labels_.end(),
                                    [&](const auto& pair) { return pair.first == label.name; });
    std::string& place =
        known != labels_.end() ? known->second : labels_.emplace_back(label.name, "").second;
    place.assign(Clip(value, DialogueScript::kMaxLabelValue));
  }
  if (!now.send.empty()) {
    Say(now, out);
    return true;
  }
  bool said = false;
  now.send_template.Expand(groups, [&](std::string_view part) {
    out.Append(part);
    said = said || !part.empty();
  });
  if (said) out.Append("\n");
  return true;
}

// The script's own bytes outlive the probe: no copy.
void Dialogue::Say(const DialogueEntry& now, Output& out) const {
  if (!now.send.empty()) out.AppendStable(AsBytes(now.send));
}

// The expected bytes are consumed as they come; the first wrong one decides.
Dialogue::Got Dialogue::AwaitBytes(std::string_view in, size_t* used) {
  const std::string_view wanted = std::string_view(entry()->expect_bytes).substr(matched_);
  const size_t count = std::min(wanted.size(), in.size());
  const auto differs = std::mismatch(wanted.begin(), wanted.begin() + count, in.begin());
  const size_t same = static_cast<size_t>(differs.first - wanted.begin());
  if (same < count) {
    Remember(in.substr(same), false);
    failed_bytes_ = true;
    return Got::kMismatch;
  }
  *used = count;
  matched_ += static_cast<uint32_t>(count);
  if (count < wanted.size()) return Got::kNotYet;
  failed_bytes_ = false;
  return Got::kYes;
}

// Keeps as many bytes as could be the beginning of the text.
Dialogue::Got Dialogue::AwaitText(std::string_view in, size_t* used) {
  const size_t at = in.find(contains_);
  if (at != std::string_view::npos) {
    *used = at + contains_.size();
    return Got::kYes;
  }
  *used = in.size() - std::min(in.size(), contains_.size() - 1);
  return Got::kNotYet;
}

// Counts what is new in `in` and keeps the first of it as evidence.
void Dialogue::Note(Bytes in) {
  const Bytes fresh = in.subspan(std::min(known_, in.size()));
  received_ += fresh.size();
  if (fresh.empty() || said_.size() >= Evidence::kBodyLimit) return;
  if (!said_) said_ = context_.buffers.Take();
  said_.Append(fresh.first(std::min(fresh.size(), Evidence::kBodyLimit - said_.size())));
}

void Dialogue::Remember(std::string_view bytes, bool is_line) {
  line_seen_ = line_seen_ || is_line;
  last_size_ = static_cast<uint8_t>(std::min(bytes.size(), last_.size()));
  std::copy_n(bytes.begin(), last_size_, last_.begin());
}

// ---- reporting ----------------------------------------------------------------------------------

bool Dialogue::HashLabels(ContentHash* hash) const {
  for (const auto& [name, value] : labels_) hash->Add(name).Add(value);
  return !labels_.empty();
}

// One series with the labels of every entry that matched.
void Dialogue::AppendLabels(Texts* texts) const {
  if (labels_.empty()) return;
  Text text{TextFamily::kExpectInfo, {}};
  for (const auto& [name, value] : labels_) text.labels.emplace_back(name, value);
  std::sort(text.labels.begin(), text.labels.end());
  texts->push_back(std::move(text));
}

std::string Dialogue::Detail() const {
  if (AllPlayed()) return "";
  std::string detail = "step " + std::to_string(step_ + 1) + ": ";
  const DialogueEntry* const now = entry();
  if (now && now->expect) {
    detail += "expected ";
    if (now->expect_length > 0) detail += std::to_string(now->expect_length) + " bytes like ";
    detail += "/" + std::string(Clip(now->expect->pattern(), 200)) + "/";
  } else if (now && !now->expect_bytes.empty()) {
    detail += "expected bytes " + QuotedForPeople(now->expect_bytes);
    if (matched_ > 0) detail += ", the first " + std::to_string(matched_) + " came";
  } else if (!now) {
    detail += "expected " + QuotedForPeople(contains_) + " somewhere";
  }
  if (last_size_ > 0 || line_seen_) {
    detail += ", got " + QuotedForPeople({last_.data(), last_size_});
    if (now && now->expect && !line_seen_) {
      detail += now->expect_length > 0 ? " and no more" : " without a line end";
    }
  } else if (!any_byte()) {
    detail += ", got nothing";
  }
  return detail;
}

std::string QuotedForPeople(std::string_view bytes, size_t limit) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text = "\"";
  for (const char c : bytes.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      text += "\\x";
      text += kHex[byte >> 4];
      text += kHex[byte & 15];
    } else {
      text += c;
    }
  }
  text += '"';
  if (bytes.size() > limit) text += "...";
  return text;
}

}  // namespace sonde
