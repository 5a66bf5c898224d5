#include "engine/loop/icmp_filter.h"

#include <linux/filter.h>
#include <netinet/icmp6.h>
#include <sys/socket.h>

#include <cerrno>

namespace sonde {
namespace {

constexpr uint32_t kAll = 0x40000;  // accept: the whole packet

constexpr sock_filter Load8(uint32_t at) { return {BPF_LD | BPF_B | BPF_ABS, 0, 0, at}; }
constexpr sock_filter Load16(uint32_t at) { return {BPF_LD | BPF_H | BPF_ABS, 0, 0, at}; }
constexpr sock_filter Load8X(uint32_t at) { return {BPF_LD | BPF_B | BPF_IND, 0, 0, at}; }
constexpr sock_filter Load16X(uint32_t at) { return {BPF_LD | BPF_H | BPF_IND, 0, 0, at}; }
constexpr sock_filter Equal(uint32_t value, uint8_t yes, uint8_t no) {
  return {BPF_JMP | BPF_JEQ | BPF_K, yes, no, value};
}
constexpr sock_filter Return(uint32_t bytes) { return {BPF_RET | BPF_K, 0, 0, bytes}; }

// The packet begins with the IP header. Jumps are relative to the next instruction.
int AttachV4(int fd, uint16_t id) {
  sock_filter code[] = {
      {BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0},  // 0: X = header length
      Load8X(0),                             // 1: type
      Equal(0, 3, 0),                        // 2: echo reply -> 6
      Equal(3, 4, 0),                        // 3: unreachable -> 8
      Equal(11, 3, 0),                       // 4: time exceeded -> 8
      Equal(12, 2, 11),                      // 5: parameter problem -> 8, else drop (17)
      Load16X(4),                            // 6: identifier
      Equal(id, 10, 9),                      // 7: accept (18) or drop (17)
      Load8X(8),                             // 8: first byte of the quoted IP header
      {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf},
      {BPF_ALU | BPF_LSH | BPF_K, 0, 0, 2},
      {BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0},
      {BPF_MISC | BPF_TAX, 0, 0, 0},  // 12: X = header + quoted header
      Load8X(8),                      // 13: quoted type
      Equal(8, 0, 2),                 // 14: echo request, else drop
      Load16X(12),                    // 15: quoted identifier
      Equal(id, 1, 0),                // 16
      Return(0),                      // 17: drop
      Return(kAll),                   // 18: accept
  };
  const sock_fprog program{static_cast<unsigned short>(sizeof code / sizeof *code), code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
}

// The packet begins with the ICMPv6 header; errors quote an IPv6 header of 40 bytes.
int AttachV6(int fd, uint16_t id) {
  sock_filter code[] = {
      Load8(0),                        // 0: type
      Equal(ICMP6_ECHO_REPLY, 5, 0),   // 1: -> 7
      Equal(ICMP6_DST_UNREACH, 6, 0),  // 2: -> 9
      Equal(ICMP6_PACKET_TOO_BIG, 5, 0),
      Equal(ICMP6_TIME_EXCEEDED, 4, 0),
      Equal(ICMP6_PARAM_PROB, 3, 0),
      Return(0),         // 6: drop
      Load16(4),         // 7: identifier
      Equal(id, 7, 6),   // 8: accept (16) or drop (15)
      Load8(14),         // 9: quoted next header
      Equal(58, 0, 4),   // 10: ICMPv6, else drop
      Load8(48),         // 11: quoted type
      Equal(128, 0, 2),  // 12: echo request, else drop
      Load16(52),        // 13: quoted identifier
      Equal(id, 1, 0),   // 14
      Return(0),         // 15: drop
      Return(kAll),      // 16: accept
  };
  const sock_fprog program{static_cast<unsigned short>(sizeof code / sizeof *code), code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
}

}  // namespace

int AttachIcmpFilter(int fd, IpFamily family, uint16_t echo_id) {
  return family == IpFamily::kV4 ? AttachV4(fd, echo_id) : AttachV6(fd, echo_id);
}

}  // namespace sonde
