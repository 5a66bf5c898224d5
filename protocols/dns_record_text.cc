#include "protocols/dns_record_text.h"

#include "protocols/dns_printer.h"
#include "protocols/dns_types.h"

namespace sonde {
namespace {

constexpr std::string_view kNameSpecials = ". '@;()\"\\";

// False when the name is malformed.
bool PutName(Bytes message, size_t* at, DnsPrinter& out) {
  bool root = true;
  const bool good = WalkDnsName(message, at, [&](Bytes label) {
    root = false;
    out.Escaped(label, kNameSpecials);
    out.Put('.');
  });
  if (root) out.Put('.');
  return good;
}

// LOC (RFC 1876): sizes are a digit and a power of ten, in centimetres.
void PutSize(uint8_t size, DnsPrinter& out) {
  const unsigned digit = size >> 4;
  const unsigned power = size & 15;
  if (power < 2) {
    out.Put("0.");
    out.Number(power == 1 ? digit * 10 : digit, 2);
  } else {
    out.Number(digit);
    for (unsigned i = 2; i < power; ++i) out.Put('0');
  }
  out.Put('m');
}

// Thousandths of a second of arc, from 2^31.
void PutAngle(uint32_t angle, char positive, char negative, DnsPrinter& out) {
  static constexpr uint32_t kZero = 1u << 31;
  const bool up = angle > kZero;
  const uint32_t value = up ? angle - kZero : kZero - angle;
  out.Number(value / 3'600'000, 2);
  out.Put(' ');
  out.Number(value / 60'000 % 60, 2);
  out.Put(' ');
  out.Number(value / 1000 % 60);
  out.Put('.');
  out.Number(value % 1000, 3);
  out.Put(' ');
  out.Put(up ? positive : negative);
  out.Put(' ');
}

void PutLocation(Bytes data, DnsPrinter& out) {
  PutAngle(DnsNumber32(data, 4), 'N', 'S', out);
  PutAngle(DnsNumber32(data, 8), 'E', 'W', out);
  const int64_t altitude = int64_t{DnsNumber32(data, 12)} - 10'000'000;  // centimetres
  const auto size = static_cast<uint64_t>(altitude < 0 ? -altitude : altitude);
  if (altitude < 0) out.Put('-');
  out.Number(size / 100);
  if (size % 100 != 0) {
    out.Put('.');
    out.Number(size % 100, 2);
  }
  out.Put("m ");
  PutSize(data[1], out);
  out.Put(' ');
  PutSize(data[2], out);
  out.Put(' ');
  PutSize(data[3], out);
}

// Reads record data field by field and prints as it goes.
class DataReader {
 public:
  DataReader(Bytes message, const DnsRecord& record, DnsPrinter& out)
      : message_(message.first(record.data + record.data_size)),
        at_(record.data),
        record_(record),
        out_(out) {}

  // False when the data is not these fields and nothing else.
  bool Read(std::string_view fields) {
    for (size_t i = 0; i < fields.size(); ++i) {
      // Lists put a blank before each of their elements.
      const bool list = fields[i] == 'm' || fields[i] == 'p';
      if (i > 0 && !list) out_.Put(' ');
      if (!Field(fields[i])) return false;
    }
    return at_ == message_.size();
  }

 private:
  size_t left() const { return message_.size() - at_; }

  // The next `count` bytes, of which the caller knows that they are there.
  Bytes Take(size_t count) {
    const Bytes bytes = message_.subspan(at_, count);
    at_ += count;
    return bytes;
  }
  Bytes Rest() { return Take(left()); }

  template <typename Use>
  bool Fixed(size_t count, Use&& use) {
    if (left() < count) return false;
    use(Take(count));
    return true;
  }

  // A length byte, then as many bytes.
  template <typename Use>
  bool Counted(Use&& use) {
    if (left() < 1 || left() < size_t{1} + message_[at_]) return false;
    const size_t count = message_[at_++];
    use(Take(count));
    return true;
  }

  // n name, 1 2 4 number of so many bytes, a A address of IPv4, IPv6, s text in quotes, u text
  // without, t texts to the end, o one text of all the rest, h H hexadecimal digits of the rest (H:
  // lower case), b base64 of the rest, T record type, D date, m types to the end, S salt of NSEC3,
  // N hash of NSEC3, i I four groups of digits (I: upper case), e E six or eight of them, L
  // location, p parameters of SVCB, O options of EDNS.
  bool Field(char kind) {
    switch (kind) {
      case 'n':
        return PutName(message_, &at_, out_);
      case '1':
        return Fixed(1, [&](Bytes b) { out_.Number(b[0]); });
      case '2':
        return Fixed(2, [&](Bytes b) { out_.Number(DnsNumber16(b, 0)); });
      case '4':
        return Fixed(4, [&](Bytes b) { out_.Number(DnsNumber32(b, 0)); });
      case 'a':
        return Fixed(4, [&](Bytes b) { out_.Ipv4(b); });
      case 'A':
        return Fixed(16, [&](Bytes b) { out_.Ipv6(b); });
      case 's':
        return Counted([&](Bytes b) { out_.Quoted(b); });
      case 'u':
        return Counted([&](Bytes b) { out_.Escaped(b, "\"\\"); });
      case 't':
        return Texts();
      case 'o':
        out_.Quoted(Rest());
        return true;
      case 'h':
      case 'H':
        out_.Hex(Rest(), kind == 'h');
        return true;
      case 'b':
        out_.Base64(Rest());
        return true;
      case 'T':
        return Fixed(2, [&](Bytes b) { out_.Type(DnsNumber16(b, 0)); });
      case 'D':
        return Fixed(4, [&](Bytes b) { out_.Date(DnsNumber32(b, 0)); });
      case 'm':
        return Types();
      case 'S':
        return Counted([&](Bytes b) { b.empty() ? out_.Put('-') : out_.Hex(b, true); });
      case 'N':
        return Counted([&](Bytes b) { out_.Base32Hex(b); });
      case 'i':
      case 'I':
        return Fixed(8, [&](Bytes b) { Grouped(b, 2, ':', kind == 'I'); });
      case 'e':
        return Fixed(6, [&](Bytes b) { Grouped(b, 1, '-', false); });
      case 'E':
        return Fixed(8, [&](Bytes b) { Grouped(b, 1, '-', false); });
      case 'L':
        return Fixed(16, [&](Bytes b) { PutLocation(b, out_); });
      case 'p':
        return Parameters();
      case 'O':
        return Options();
      default:
        return false;
    }
  }

  void Grouped(Bytes bytes, size_t group, char between, bool upper) {
    for (size_t i = 0; i < bytes.size(); i += group) {
      if (i > 0) out_.Put(between);
      out_.Hex(bytes.subspan(i, group), upper);
    }
  }

  bool Texts() {
    for (bool first = true; left() > 0; first = false) {
      if (!first) out_.Put(' ');
      if (!Counted([&](Bytes b) { out_.Quoted(b); })) return false;
    }
    return true;
  }

  // RFC 4034 section 4.1.2: windows of up to 256 types, a bit each, in increasing order.
  bool Types() {
    for (int last = -1; left() > 0;) {
      const int window = message_[at_++];
      if (window <= last || !Counted([&](Bytes bits) { PutTypes(window, bits); })) return false;
      if (bits_ == 0 || bits_ > 32) return false;
      last = window;
    }
    return true;
  }

  void PutTypes(int window, Bytes bits) {
    bits_ = bits.size();
    if (!out_.on()) return;
    for (size_t i = 0; i < bits.size() * 8; ++i) {
      if ((bits[i / 8] >> (7 - i % 8) & 1) == 0) continue;
      out_.Put(' ');
      out_.Type(static_cast<uint16_t>(static_cast<size_t>(window) * 256 + i));
    }
  }

  // RFC 9460 section 2.2: key, length, value, keys in increasing order.
  bool Parameters() {
    for (int last = -1; left() > 0;) {
      if (left() < 4) return false;
      const int key = DnsNumber16(message_, at_);
      const size_t size = DnsNumber16(message_, at_ + 2);
      at_ += 4;
      if (key <= last || size > left()) return false;
      last = key;
      out_.Put(' ');
      PutKey(static_cast<uint16_t>(key));
      out_.Put("=\"");
      if (!Value(key, Take(size))) return false;
      out_.Put('"');
    }
    return true;
  }

  void PutKey(uint16_t key) {
    static constexpr std::string_view kKeys[] = {"mandatory", "alpn",     "no-default-alpn",
                                                 "port",      "ipv4hint", "ech",
                                                 "ipv6hint",  "dohpath",  "ohttp"};
    if (key < std::size(kKeys)) return out_.Put(kKeys[key]);
    out_.Put("key");
    out_.Number(key);
  }

  // Values of equal size, a comma between them.
  template <typename Use>
  bool Listed(Bytes value, size_t size, Use&& use) {
    if (value.size() % size != 0) return false;
    for (size_t i = 0; i < value.size(); i += size) {
      if (i > 0) out_.Put(',');
      use(value.subspan(i, size));
    }
    return true;
  }

  bool Value(int key, Bytes value) {
    switch (key) {
      case 0:
        return Listed(value, 2, [&](Bytes b) { PutKey(DnsNumber16(b, 0)); });
      case 1:
        return Protocols(value);
      case 2:
      case 8:
        return value.empty();
      case 3:
        return value.size() == 2 &&
               Listed(value, 2, [&](Bytes b) { out_.Number(DnsNumber16(b, 0)); });
      case 4:
        return !value.empty() && Listed(value, 4, [&](Bytes b) { out_.Ipv4(b); });
      case 5:
        out_.Base64(value);
        return true;
      case 6:
        return !value.empty() && Listed(value, 16, [&](Bytes b) { out_.Ipv6(b); });
      default:
        out_.Escaped(value, "\"; \\");
        return true;
    }
  }

  // A comma or backslash within a protocol's name is escaped once for the list, once for the text.
  bool Protocols(Bytes value) {
    for (size_t at = 0; at < value.size();) {
      const size_t size = value[at];
      if (size + 1 > value.size() - at) return false;
      if (at > 0) out_.Put(',');
      for (const uint8_t byte : value.subspan(at + 1, size)) {
        if (byte == ',' || byte == '\\') {
          out_.Put(byte == ',' ? "\\\\\\044" : "\\\\\\092");
        } else {
          out_.Escaped({&byte, 1}, "\"; ");
        }
      }
      at += size + 1;
    }
    return true;
  }

  // RFC 6891 section 6.1: the header's class and TTL have other meanings.
  bool Options() {
    out_.Put("\n;; OPT PSEUDOSECTION:\n; EDNS: version ");
    out_.Number(record_.ttl >> 16 & 0xff);
    out_.Put((record_.ttl & 0x8000) != 0 ? "; flags: do; " : "; flags:; ");
    if ((record_.ttl & 0x7fff) != 0) {
      out_.Put("MBZ: 0x");
      out_.Number(record_.ttl & 0x7fff, 4, 16);
      out_.Put(", ");
    }
    out_.Put("udp: ");
    out_.Number(record_.klass);
    while (left() > 0) {
      if (left() < 4) return false;
      const uint16_t code = DnsNumber16(message_, at_);
      const size_t size = DnsNumber16(message_, at_ + 2);
      at_ += 4;
      if (size > left()) return false;
      Option(code, Take(size));
    }
    return true;
  }

  void Option(uint16_t code, Bytes data) {
    static constexpr uint16_t kNsid = 3, kCookie = 10, kExtendedError = 15;
    if (code == kNsid) {
      out_.Put("\n; NSID: ");
      out_.Hex(data, false);
      out_.Put("  ");
      for (const uint8_t byte : data) {
        out_.Put('(');
        out_.Escaped({&byte, 1}, "");
        out_.Put(')');
      }
    } else if (code == kCookie) {
      out_.Put("\n; COOKIE: ");
      out_.Hex(data, false);
    } else if (code == kExtendedError && data.size() >= 2) {
      out_.Put("\n; EDE: ");
      out_.Number(DnsNumber16(data, 0));
      out_.Put(": (");
      out_.Escaped(data.subspan(2), "");
      out_.Put(')');
    } else {
      out_.Put("\n; LOCAL OPT: ");
      out_.Number(code);
      out_.Put(":0x");
      out_.Hex(data, false);
    }
  }

  const Bytes message_;  // up to the end of the data; names lead backwards
  size_t at_;
  size_t bits_ = 0;  // bytes of the last window of types
  const DnsRecord& record_;
  DnsPrinter& out_;
};

void PutHeader(Bytes message, const DnsRecord& record, bool known, DnsPrinter& out) {
  size_t at = record.owner;
  PutName(message, &at, out);
  out.Put('\t');
  out.Number(record.ttl);
  out.Put('\t');
  const std::string_view klass = known ? DnsClassName(record.klass) : std::string_view();
  out.Put(klass.empty() ? "CLASS" : klass);
  if (klass.empty()) out.Number(record.klass);
  out.Put('\t');
  if (known) {
    out.Type(record.type);
  } else {
    out.Put("TYPE");
    out.Number(record.type);
  }
  out.Put('\t');
}

std::string_view FieldsOf(uint16_t number) {
  const DnsType* type = FindDnsType(number);
  return type ? type->fields : std::string_view();
}

}  // namespace

bool CheckDnsRecord(Bytes message, const DnsRecord& record) {
  const std::string_view fields = FieldsOf(record.type);
  if (record.data_size == 0 || fields.empty()) return true;
  DnsPrinter nowhere(nullptr);
  return DataReader(message, record, nowhere).Read(fields);
}

void AppendDnsRecord(Bytes message, const DnsRecord& record, Buffer* out) {
  DnsPrinter printer(out);
  const std::string_view fields = FieldsOf(record.type);
  if (record.type == kDnsTypeOpt) {
    DataReader(message, record, printer).Read(fields);
    return;
  }
  PutHeader(message, record, !fields.empty(), printer);
  if (fields.empty()) {
    printer.Put("\\# ");
    printer.Number(record.data_size);
    printer.Put(' ');
    printer.Hex(message.subspan(record.data, record.data_size), false);
  } else if (record.data_size > 0) {
    DataReader(message, record, printer).Read(fields);
  }
}

void AppendDnsName(Bytes message, size_t at, Buffer* out) {
  DnsPrinter printer(out);
  PutName(message, &at, printer);
}

}  // namespace sonde
