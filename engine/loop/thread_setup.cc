#include "engine/loop/thread_setup.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace sonde {
namespace {

// struct sched_attr of <linux/sched/types.h>, which cannot stand beside <sched.h>.
struct SchedulingAttributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime_ns, deadline_ns, period_ns;
  uint32_t utilization_min, utilization_max;
};

}  // namespace

void SetUpThread(std::string_view name) {
  char text[16] = {};
  name.copy(text, std::min(name.size(), sizeof text - 1));
  prctl(PR_SET_NAME, text);
  sigset_t handled_elsewhere;
  sigemptyset(&handled_elsewhere);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD}) {
    sigaddset(&handled_elsewhere, signal);
  }
  pthread_sigmask(SIG_BLOCK, &handled_elsewhere, nullptr);
}

void SetExactTimers() { prctl(PR_SET_TIMERSLACK, 1UL); }

void AskForShortSlices() {
  constexpr uint64_t kShortestNs = 100'000;
  SchedulingAttributes attributes{};
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  attributes.runtime_ns = kShortestNs;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

std::vector<int> UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

bool PinThread(unsigned cpu) {
  if (cpu >= CPU_SETSIZE) return false;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

}  // namespace sonde
