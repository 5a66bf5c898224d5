#include "store/text_places.h"

#include <algorithm>

namespace sonde {
namespace {

bool IsAscii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

// The length of the line end at `rest`'s front, 0 when there is none. `*editors`: they see it too.
size_t LineEnd(std::string_view rest, bool* editors) {
  *editors = true;
  if (rest.starts_with("\r\n")) return 2;
  if (rest.front() == '\n' || rest.front() == '\r') return 1;
  *editors = false;
  if (rest.starts_with("\xc2\x85")) return 2;
  if (rest.starts_with("\xe2\x80\xa8") || rest.starts_with("\xe2\x80\xa9")) return 3;
  return 0;
}

}  // namespace

TextPlaces::TextPlaces(std::string_view text) : text_(text) {
  if (IsAscii(text)) return;
  Line line{0, 1, 1};
  lines_.push_back(line);
  for (size_t i = 0; i < text.size();) {
    bool editors = false;
    const size_t length = LineEnd(text.substr(i), &editors);
    if (length == 0) {
      ++i;
      continue;
    }
    i += length;
    line.column = editors ? 1 : line.column + static_cast<uint32_t>(i - line.offset);
    if (editors) ++line.number;
    line.offset = i;
    lines_.push_back(line);
  }
}

Mark TextPlaces::At(size_t line, size_t column) const {
  if (lines_.empty()) return {static_cast<uint32_t>(line + 1), static_cast<uint32_t>(column + 1)};
  const Line& place = lines_[std::min(line, lines_.size() - 1)];
  size_t at = place.offset;
  for (; column > 0 && at < text_.size(); --column) {
    ++at;
    while (at < text_.size() && (static_cast<unsigned char>(text_[at]) & 0xc0) == 0x80) ++at;
  }
  return {place.number, place.column + static_cast<uint32_t>(at - place.offset)};
}

Mark TextPlaces::AtByte(size_t offset) const {
  Mark mark{1, 1};
  offset = std::min(offset, text_.size());
  for (size_t i = 0; i < offset; ++i) {
    const bool end =
        text_[i] == '\n' || (text_[i] == '\r' && (i + 1 >= text_.size() || text_[i + 1] != '\n'));
    if (end) {
      ++mark.line;
      mark.column = 1;
    } else {
      ++mark.column;
    }
  }
  return mark;
}

}  // namespace sonde
