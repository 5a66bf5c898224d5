"""Reads delimited io.prometheus.client.MetricFamily messages: enough to compare them with text."""
import collections
import struct

Native = collections.namedtuple("Native", "schema zero_threshold zero buckets count sum")
KINDS = {0: "counter", 1: "gauge", 2: "summary", 3: "untyped", 4: "histogram"}
VALUE_FIELDS = {2: "gauge", 3: "counter", 4: "summary", 5: "untyped", 7: "histogram"}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def signed(value):
    return value >> 1 ^ -(value & 1)


def fields(data):
    """(number, value) of a message's fields: an int, a float, or bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value = struct.unpack_from("<d", data, at)[0]
            at += 8
        elif kind == 2:
            length, at = varint(data, at)
            assert at + length <= len(data), "a field longer than its message"
            value = data[at:at + length]
            at += length
        else:
            raise AssertionError(f"wire type {kind}")
        yield tag >> 3, value


def packed(data):
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        yield signed(value)


class Families:
    """`samples`: {(name, labels): value}, named as text names them; `native`: {(name, labels):
    Native}; `types`, `helps`, `units` by family; `messages`: how many."""

    def __init__(self, body):
        self.samples, self.native = {}, {}
        self.types, self.helps, self.units = {}, {}, {}
        self.messages = 0
        at = 0
        while at < len(body):
            length, at = varint(body, at)
            assert at + length <= len(body), "the last message is cut"
            self.family(body[at:at + length])
            self.messages += 1
            at += length

    def family(self, data):
        name = unit = ""
        metrics = []
        for number, value in fields(data):
            if number == 1:
                name = value.decode()
            elif number == 2:
                self.helps[name] = value.decode()
            elif number == 3:
                kind = KINDS[value]
                assert self.types.setdefault(name, kind) == kind, f"{name} changes its type"
            elif number == 4:
                metrics.append(value)
            elif number == 5:
                unit = value.decode()
            else:
                raise AssertionError(f"field {number} of a family")
        assert name and metrics, "a family without a name or without metrics"
        self.units[name] = unit
        for metric in metrics:
            self.metric(name, metric)

    def metric(self, name, data):
        labels, kind, value = [], None, b""
        for number, field in fields(data):
            if number == 1:
                pair = dict(fields(field))
                labels.append((pair[1].decode(), pair[2].decode()))
            else:
                assert kind is None, f"{name}: two values"
                kind, value = VALUE_FIELDS[number], field
        assert kind == self.types[name], f"{name}: {kind} in a family of {self.types[name]}"
        assert len(dict(labels)) == len(labels), f"{name}: a label twice"
        if kind == "histogram":
            self.histogram(name, labels, value)
        elif kind == "summary":
            self.summary(name, labels, value)
        else:
            self.add(name, labels, dict(fields(value))[1])

    def add(self, name, labels, value):
        key = (name, frozenset(labels))
        assert key not in self.samples, f"series twice: {key}"
        self.samples[key] = value

    def summary(self, name, labels, data):
        for number, value in fields(data):
            if number == 3:
                part = dict(fields(value))
                self.add(name, [*labels, ("quantile", part[1])], part[2])
            else:
                self.add(name + {1: "_count", 2: "_sum"}[number], labels, value)

    def histogram(self, name, labels, data):
        single, buckets, spans, deltas = {}, [], [], []
        for number, value in fields(data):
            if number == 3:
                part = dict(fields(value))
                buckets.append((part[2], part[1]))
            elif number == 12:
                part = dict(fields(value))
                spans.append((signed(part[1]), part[2]))
            elif number == 13:
                deltas += packed(value)
            else:
                single[number] = value
        if 5 in single:
            self.add_native(name, labels, single, spans, deltas)
        if 5 not in single or buckets:
            assert buckets == sorted(buckets), f"{name}: bounds in disorder"
            assert all(count <= single[1] for _, count in buckets), f"{name}: more than there are"
            for bound, count in [*buckets, (float("inf"), single[1])]:
                self.add(name + "_bucket", [*labels, ("le", bound)], count)
            self.add(name + "_count", labels, single[1])
            self.add(name + "_sum", labels, single[2])

    def add_native(self, name, labels, single, spans, deltas):
        found, index, count = {}, 0, 0
        assert sum(length for _, length in spans) == len(deltas), f"{name}: spans and buckets"
        left = iter(deltas)
        for offset, length in spans:
            index += offset
            for _ in range(length):
                count += next(left)
                found[index] = count
                index += 1
        native = Native(signed(single[5]), single[6], single[7], found, single[1], single[2])
        assert native.zero + sum(found.values()) == native.count, f"{name}: the count is no sum"
        self.native[(name, frozenset(labels))] = native
