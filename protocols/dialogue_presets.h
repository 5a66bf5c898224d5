// Dialogues with common services, ready to use: `preset: smtp` of a tcp module. What each says and
// captures is a row or a few of one table, in words of `query_response`; docs/tcp.md shows them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocols/dialogue_script.h"

namespace sonde {

struct DialoguePreset {
  // One entry of the dialogue: the keys of the same name. Absent ones are empty; `send` stands
  // for `send_bytes`.
  struct Entry {
    struct Label {
      std::string_view name, value;
    };
    std::string_view expect, expect_not, expect_until;
    size_t expect_length = 0;
    std::string_view expect_bytes;
    Label labels[2];
    std::string_view send;
    bool starttls = false;
  };

  std::string_view name;
  std::span<const Entry> entries;

  // As if it had been read from a file.
  DialogueScript Script() const;
};

// All of them, by name. Any thread.
std::span<const DialoguePreset> DialoguePresets();
// nullptr: there is none of that name.
const DialoguePreset* FindDialoguePreset(std::string_view name);
// What to say then.
std::string UnknownPreset(std::string_view name);

}  // namespace sonde
