// The seam between a connection and what carries its bytes: a socket, TLS over one, or a test.
// Bytes go down through HttpTransport and come up through HttpTransportEvents. Loop thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sonde {

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;

  // Takes the bytes (also none). OnDrained follows, never from inside this call, when everything
  // written so far has been taken by the kernel.
  virtual void Write(std::string bytes) = 0;
  // Bytes written and not yet taken by the kernel.
  virtual size_t pending() const = 0;
  // Off: no OnBytes and no OnEnd until on again. On at the start.
  virtual void SetReading(bool on) = 0;
  // Our FIN, after everything written. Nothing is written afterwards.
  virtual void ShutdownWrite() = 0;
  // Drops the connection and what is pending. OnClosed follows, never from inside this call.
  virtual void Close() = 0;
  // The same, but so that the peer sees a broken connection instead of an orderly end, and the
  // kernel forgets what it had not sent yet.
  virtual void Reset() = 0;
};

class HttpTransportEvents {
 public:
  virtual ~HttpTransportEvents() = default;
  virtual void OnBytes(std::string_view bytes) = 0;
  virtual void OnEnd() = 0;  // the peer's FIN; once
  virtual void OnDrained() = 0;
  // The last event: after Close or Reset, or after an error of the connection.
  virtual void OnClosed() = 0;
};

}  // namespace sonde
