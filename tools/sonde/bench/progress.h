// How far it is, on standard error: one line that is rewritten on a terminal, lines elsewhere.
#pragma once

#include <string>

namespace sonde {

// Main thread.
class Progress {
 public:
  Progress();
  ~Progress() { Clear(); }
  void Say(const std::string& text);
  void Clear();  // the terminal's line is free again

 private:
  const bool terminal_;
  bool written_ = false;
};

}  // namespace sonde
