#include "tools/sonde/bench/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "absl/status/status.h"
#include "tools/sonde/bench/process_watch.h"

namespace sonde {
namespace {

constexpr size_t kMostOutput = size_t{1} << 20;

// In the child, between fork and exec: system calls only.
[[noreturn]] void Become(char* const* words, int output, const std::vector<int>& cpus) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  StayOn(0, cpus);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execv(words[0], words);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const Options& options,
                                                                  Interruption& interruption) {
  const std::string& program = options.words[0];
  if (access(program.c_str(), X_OK) != 0) return absl::ErrnoToStatus(errno, program);
  std::vector<char*> words;
  for (const std::string& word : options.words) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  std::unique_ptr<ChildProcess> child(new ChildProcess);
  child->pipe_ = ends[0];
  child->pid_ = fork();
  if (child->pid_ == 0) Become(words.data(), ends[1], options.cpus);
  const int error = errno;
  close(ends[1]);
  if (child->pid_ < 0) return absl::ErrnoToStatus(error, program);

  const WallTime end = BenchNow() + options.patience;
  while (child->Output().find(options.ready) == std::string::npos) {
    const bool gone = child->Ended();
    if (gone || BenchNow() > end) {
      return absl::UnavailableError(program + (gone ? " ended: " : " is not ready: ") +
                                    child->Output());
    }
    if (!interruption.Wait(Milliseconds(5))) return absl::CancelledError("interrupted");
  }
  return child;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0 && !Ended()) {
    kill(pid_, SIGTERM);
    // Nobody is to wait for a farm for longer; an interrupted wait is not needed here.
    sigset_t child_ended;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigset_t before;
    pthread_sigmask(SIG_BLOCK, &child_ended, &before);
    const timespec tenth{0, 100'000'000};
    for (int i = 0; i < 20 && !Ended(); ++i) sigtimedwait(&child_ended, nullptr, &tenth);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!Ended()) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  if (pipe_ >= 0) close(pipe_);
}

const std::string& ChildProcess::Output() {
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t got = read(pipe_, piece.data(), piece.size());
    if (got <= 0) return output_;
    if (output_.size() < kMostOutput) output_.append(piece.data(), static_cast<size_t>(got));
  }
}

bool ChildProcess::Ended() {
  if (!ended_) ended_ = waitpid(pid_, nullptr, WNOHANG) == pid_;
  return ended_;
}

std::string ProgramBeside(std::string_view name) {
  std::error_code error;
  return (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / name).string();
}

}  // namespace sonde
