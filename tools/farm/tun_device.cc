#include "tools/farm/tun_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sonde {
namespace {

constexpr int kQueueLength = 10'000;  // packets that wait for us while we do not run

absl::Status Trouble(const std::string& what) {
  const int error = errno;
  return absl::UnavailableError(what + ": " + std::strerror(error));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

absl::StatusOr<int> OpenHere(const std::string& name, int mtu) {
  Descriptor tun(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (tun.get() < 0) return Trouble("open /dev/net/tun");
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  if (ioctl(tun.get(), TUNSETIFF, &request) != 0) return Trouble("make device " + name);
  const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  request.ifr_mtu = mtu;
  if (ioctl(any.get(), SIOCSIFMTU, &request) != 0) return Trouble("set the MTU of " + name);
  request.ifr_qlen = kQueueLength;
  if (ioctl(any.get(), SIOCSIFTXQLEN, &request) != 0) return Trouble("set the queue of " + name);
  return tun.Release();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TunDevice>> TunDevice::Open(const std::string& place, int mtu) {
  const size_t colon = place.rfind(':');
  const std::string device = colon == place.npos ? place : place.substr(colon + 1);
  const std::string in = colon == place.npos ? "" : place.substr(0, colon);
  if (device.empty() || device.size() >= IFNAMSIZ) {
    return absl::InvalidArgumentError("'" + place + "' is not NAMESPACE:DEVICE");
  }
  const Descriptor home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!in.empty()) {
    const std::string path = in.find('/') == in.npos ? "/run/netns/" + in : in;
    const Descriptor there(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (there.get() < 0 || setns(there.get(), CLONE_NEWNET) != 0) return Trouble("enter " + path);
  }
  const auto fd = OpenHere(device, mtu);
  if (!in.empty() && setns(home.get(), CLONE_NEWNET) != 0) return Trouble("come back");
  if (!fd.ok()) return fd.status();
  return std::unique_ptr<TunDevice>(new TunDevice(*fd));
}

TunDevice::~TunDevice() { close(fd_); }

}  // namespace sonde
