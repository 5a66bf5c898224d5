// Turns the places libyaml counts in into those people's editors show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/contract/config_node.h"

namespace sonde {

// libyaml counts columns in characters and takes NEL, LS and PS for line ends too; a Mark counts
// bytes and lines as editors do (LF, CR, CR LF). For plain ASCII both are the same and nothing is
// built. `text` must outlive this.
class TextPlaces {
 public:
  explicit TextPlaces(std::string_view text);

  // Both from 0, as libyaml has them.
  Mark At(size_t line, size_t column) const;
  Mark AtByte(size_t offset) const;

 private:
  struct Line {
    size_t offset;    // of its first byte in the text
    uint32_t number;  // from 1, as editors count
    uint32_t column;  // from 1, of its first byte: beyond 1 after a NEL, LS or PS
  };
  std::string_view text_;
  std::vector<Line> lines_;  // libyaml's lines; empty for ASCII
};

}  // namespace sonde
