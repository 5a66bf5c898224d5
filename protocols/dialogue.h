// The send / expect / starttls dialogue of line protocols: the interpreter that plays a script over
// a byte stream (blackbox_contract 4.8 and 8.2). No I/O, no clock; shared by every protocol that
// talks in lines.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/contract/conversation.h"
#include "protocols/content_hash.h"
#include "protocols/dialogue_script.h"

namespace sonde {

// One probe's way through a script. Lives in a conversation, on its shard's thread.
class Dialogue {
 public:
  // A line, its end included.
  static constexpr size_t kLineLimit = DialogueScript::kLineLimit;
  // All a peer may say before it is cut off.
  static constexpr uint64_t kTotalLimit = 16 << 20;

  enum class State : uint8_t { kWaiting, kSecure, kDone, kFailed };
  struct Progress {
    size_t consumed = 0;
    State state = State::kWaiting;
    Outcome outcome = Outcome::kOk;  // kFailed: of phase first_byte or dialogue
  };

  // `contains`, unless empty, is one more step at the end: this text, anywhere in what follows.
  // Script, text and context outlive the dialogue.
  Dialogue(const DialogueScript& script, std::string_view contains,
           const ConversationContext& context)
      : script_(script), contains_(contains), context_(context) {}

  bool empty() const { return script_.entries.empty() && contains_.empty(); }

  // At the start, and again when TLS is up: nothing that came before it is looked at any more.
  Progress Resume(Output& out);
  // `in` begins with what was not consumed before.
  Progress OnBytes(Bytes in, Output& out);
  // Never kWaiting.
  Progress OnPeerClosed(PeerClose how, Bytes rest, Output& out);
  // Which time-out it is when time is up now.
  Outcome OnDeadline() const;

  // The gauges probe_failed_due_to_regex and _bytes.
  bool failed_regex() const { return failed_regex_; }
  bool failed_bytes() const { return failed_bytes_; }

  bool any_byte() const { return received_ > 0; }
  // probe_expect_info. False: there is none, nothing was added.
  bool HashLabels(ContentHash* hash) const;
  void AppendLabels(Texts* texts) const;
  // What the peer said first, at most Evidence::kBodyLimit.
  std::string_view said() const { return said_.text(); }
  // "step 2: expected /^250/, got \"550 no\"". Of the step that is being played.
  std::string Detail() const;

 private:
  enum class Got : uint8_t { kYes, kNotYet, kTooLarge, kMismatch };

  // The entry being played; nullptr for the `contains` step at the end.
  const DialogueEntry* entry() const {
    return step_ < script_.entries.size() ? &script_.entries[step_] : nullptr;
  }
  bool AllPlayed() const;
  Progress Play(Bytes in, bool at_end, Output& out);
  Got Await(std::string_view in, bool at_end, size_t* used, Output& out);
  Got AwaitLine(const DialogueEntry& entry, std::string_view in, bool at_end, size_t* used,
                Output& out);
  Got TakeLine(const DialogueEntry& entry, std::string_view in, bool at_end, size_t* used,
               std::string_view* line);
  Got TakeLength(const DialogueEntry& entry, std::string_view in, size_t* used,
                 std::string_view* piece);
  Got AwaitBytes(std::string_view in, size_t* used);
  Got AwaitText(std::string_view in, size_t* used);
  bool Matches(const DialogueEntry& entry, std::string_view line, Output& out);
  void Say(const DialogueEntry& entry, Output& out) const;
  void Note(Bytes in);
  void Remember(std::string_view bytes, bool is_line);
  void NextStep();

  const DialogueScript& script_;
  const std::string_view contains_;
  const ConversationContext& context_;
  uint32_t step_ = 0;
  bool failed_regex_ = false;
  bool failed_bytes_ = false;
  bool line_seen_ = false;  // in this step: a whole line that did not match
  uint8_t last_size_ = 0;   // of `last_`, which holds the newest line or part of one of this step
  uint32_t scanned_ = 0;    // bytes of the unconsumed front that hold no line end
  uint32_t matched_ = 0;    // of expect_bytes, consumed so far
  size_t known_ = 0;        // bytes of the next `in` that were given before
  uint64_t received_ = 0;   // by the peer, in all
  Buffer said_;
  std::vector<std::pair<std::string_view, std::string>> labels_;
  std::array<char, 96> last_;
};

// Bytes as people can read them, for details: "550 no\r\n", "\x00\x01".
std::string QuotedForPeople(std::string_view bytes, size_t limit = 100);

}  // namespace sonde
