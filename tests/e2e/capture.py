"""What passed a network device, as tcpdump saw it: packets with the kernel's stamps in nanoseconds.

    capture = Capture(box, pair.near, pair.near_device)
    ...
    for packet in capture.end(): ...
"""
import ipaddress
import struct

import harness

MAGICS = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}  # nanoseconds in a unit of the stamps
ETHERNET, RAW, RAW_OLD = 1, 101, 12
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
ETHERTYPES = (0x0800, 0x86DD)


class Packet:
    """One IP packet: `at_ns` since 1970, addresses as text, `protocol`, and behind the IP header
    `size` bytes, of which `payload` has as many as were captured."""

    def __init__(self, at_ns, source, destination, protocol, payload, size, hop_limit):
        self.at_ns, self.source, self.destination = at_ns, source, destination
        self.protocol, self.payload, self.size = protocol, payload, size
        self.hop_limit = hop_limit

    @property
    def ports(self):
        return struct.unpack_from("!HH", self.payload)

    @property
    def tcp_flags(self):
        return self.payload[13]

    @property
    def head_size(self):
        """Of the TCP or UDP header."""
        return 8 if self.protocol == UDP else (self.payload[12] >> 4) * 4

    @property
    def data(self):
        """Of TCP and UDP: what they carry, as far as it was captured."""
        return self.payload[self.head_size:]

    @property
    def data_size(self):
        return self.size - self.head_size

    @property
    def echo(self):
        """("request" or "reply", id, sequence) of an echo message, else None."""
        kinds = {ICMP: {8: "request", 0: "reply"}, ICMP6: {128: "request", 129: "reply"}}
        kind = kinds.get(self.protocol, {}).get(self.payload[0] if self.size >= 8 else None)
        return kind and (kind, *struct.unpack_from("!HH", self.payload, 4))

    def __repr__(self):
        return f"<{self.at_ns} {self.source} > {self.destination} {self.protocol}>"


def text(address):
    return str(ipaddress.ip_address(address))


LEAST = {TCP: 20, UDP: 8}  # bytes of the headers


def read_ip(at_ns, data):
    """The packet, or None: no IP, a fragment, or cut in its headers."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        head, total, fragment = (data[0] & 15) * 4, *struct.unpack_from("!H2xH", data, 2)
        if fragment & 0x3FFF or not 20 <= head <= total:
            return None
        packet = Packet(at_ns, text(data[12:16]), text(data[16:20]), data[9], data[head:total],
                        total - head, data[8])
    elif len(data) >= 40 and data[0] >> 4 == 6:
        size, following = struct.unpack_from("!HB", data, 4)
        packet = Packet(at_ns, text(data[8:24]), text(data[24:40]), following, data[40:40 + size],
                        size, data[7])
    else:
        return None
    return packet if len(packet.payload) >= LEAST.get(packet.protocol, 0) else None


def read(data):
    """Packets of a capture file's bytes, in their order, up to a record that is not whole yet."""
    for order in "<>":
        unit = MAGICS.get(struct.unpack_from(order + "I", data)[0])
        if unit:
            break
    else:
        raise ValueError("not a capture file")
    link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF
    at, packets = 24, []
    while at + 16 <= len(data):
        seconds, fraction, size, _ = struct.unpack_from(order + "IIII", data, at)
        frame = data[at + 16:at + 16 + size]
        if len(frame) < size:
            break
        at += 16 + size
        if link == ETHERNET:
            if struct.unpack_from("!H", frame, 12)[0] not in ETHERTYPES:
                continue
            frame = frame[14:]
        elif link not in (RAW, RAW_OLD):
            raise ValueError(f"link type {link}")
        packet = read_ip(seconds * 10**9 + fraction * unit, frame)
        if packet:
            packets.append(packet)
    return packets


class Capture:
    """tcpdump on a device of a namespace, from now on. `words`: a filter. With `at_once` packets()
    has them at once, and each wakes tcpdump, which takes some 20 us from whoever sends it."""

    def __init__(self, box, namespace, device, words="", name="tcpdump", at_once=True):
        tcpdump = harness.need("tcpdump")
        self.file = box.folder / f"{name}.pcap"
        # Its ring has places of the size of `-s`: many small ones rather than a few large ones.
        with namespace.entered():
            self.program = box.start(
                name, [tcpdump, "-i", device, "-w", self.file, "-n", "-s", 2048, "-B", 32768,
                       *(["-U", "--immediate-mode"] if at_once else []),
                       "--time-stamp-precision=nano", "-Z", "root", *words.split()])
        self.program.until_ready(lambda: "listening on" in self.program.text())

    def packets(self):
        return read(self.file.read_bytes())

    def until(self, what, condition):
        """Packets, once `condition(packets)` holds."""
        def tried():
            packets = self.packets()
            return packets if condition(packets) else None
        return harness.until(what, tried)

    def end(self):
        self.program.stop()
        assert " 0 packets dropped by kernel" in "".join(
            f" {line}" for line in self.program.text().splitlines()), self.program.text()
        return self.packets()
