#include "tools/sonde/bench/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace sonde {
namespace {

constexpr char kStartOver[] = "\r\033[K";

size_t TerminalWidth() {
  winsize size{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1u : 79u;
}

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1) {}

void Progress::Say(const std::string& text) {
  if (terminal_) {
    std::fprintf(stderr, "%s%s", kStartOver, text.substr(0, TerminalWidth()).c_str());
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
  written_ = true;
}

void Progress::Clear() {
  if (terminal_ && written_) std::fputs(kStartOver, stderr);
  written_ = false;
}

}  // namespace sonde
