// Takes a rendered label block apart: `name="value",other="value"`, as AppendLabel writes it. Any
// thread; a reader belongs to one.
#pragma once

#include <string>
#include <string_view>

namespace sonde {

//   for (LabelReader label(block); label.Next();) Use(label.name(), label.value());
class LabelReader {
 public:
  // Commas between labels, also at either end, do not count. `block` outlives the reader.
  explicit LabelReader(std::string_view block) : rest_(block) {}

  // The next label; false at the end, or at what is no label.
  bool Next();

  std::string_view name() const { return name_; }
  // Without its escapes; valid until Next.
  std::string_view value() const { return value_; }
  // The label as it stands in the block: `name="value"`.
  std::string_view written() const { return written_; }

 private:
  std::string_view rest_, name_, value_, written_;
  std::string unescaped_;
};

// Whether a label of that name stands in the block, also with an empty value.
bool HasLabel(std::string_view block, std::string_view name);

}  // namespace sonde
