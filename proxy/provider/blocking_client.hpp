#pragma once
// A blocking HTTP/1.1 client for tests over real sockets. It sends exactly the bytes it is told to and says exactly
// what came back: status, headers, decoded body, and whether the message was complete. It never reconnects and never
// retries, and it is strict where a proxy may go wrong: a body without its last chunk is `truncated`, never just short.
//
//     blocking_client client({.port = port});
//     auto answer = client.request("POST", "/v1/embeddings", {{"content-type", "application/json"}}, body);
//     CHECK(answer.complete());
//
// It serves one thread at a time (asserted): who writes and reads at once takes turns with a short timeout.
//
// Streams: read_head(), then next_event() until it returns nothing, then ended().

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::provider {

using header_list = std::vector<std::pair<std::string, std::string>>;

// Why no further byte of a message will come.
enum class message_end : unsigned char {
    none,      // not at its end yet
    complete,  // framing satisfied: length reached, last chunk read, or close-delimited and cleanly closed
    truncated, // the peer ended the connection (FIN, or TLS without close_notify) before the framing was satisfied
    reset,     // ECONNRESET or another socket error
    timeout,   // nothing came for the client's timeout
    malformed, // not HTTP: bad status line, bad chunk size, missing CRLF
};
[[nodiscard]] std::string_view to_string(message_end end) noexcept;

struct client_response {
    int status = 0; // 0: none was read; a head that is malformed behind it is there up to that place
    int minor_version = 1;
    std::string reason;
    header_list headers;
    header_list trailers;
    std::vector<int> informational;  // statuses of 1xx heads seen before this one
    std::string body;                // decoded: without chunk framing
    std::vector<std::size_t> chunks; // sizes of the chunks read, in order; empty unless chunked
    message_end end = message_end::none;
    std::string detail; // of a malformed message or socket error

    [[nodiscard]] bool complete() const noexcept { return end == message_end::complete; }
    [[nodiscard]] std::string header(std::string_view name) const; // first value, case-insensitive; empty if absent
    [[nodiscard]] std::size_t header_count(std::string_view name) const;
};

struct sse_event {
    std::string event; // empty if no event field
    std::string data;  // data lines joined with '\n'
    std::string id;
    std::string raw;             // the bytes, with the blank line that ended it
    bool comment = false;        // nothing but comment lines
    std::int64_t arrived_ns = 0; // CLOCK_MONOTONIC when the read that completed it returned
};

struct client_error : std::runtime_error {
    client_error(const std::string& what, int number) : std::runtime_error(what), error_number(number) {}
    int error_number; // errno, or 0
};

struct client_tls {
    std::string ca_file = {};     // empty: verification off
    std::string server_name = {}; // SNI and the verified name; empty: the host
    std::string cert_file = {}, key_file = {};
};

struct client_options {
    std::string host = "127.0.0.1"; // literal address
    std::uint16_t port = 0;
    std::chrono::milliseconds timeout{10'000}; // for connecting, and longest silence of any read or write
    std::chrono::milliseconds whole{0};        // for all of it, however it drips; 0: as long as it takes
    std::size_t most_body = 0; // bytes of an answer read by read_response(); a larger one is malformed; 0: any
    std::optional<client_tls> tls = {};
    int receive_buffer = 0; // SO_RCVBUF, for tests of back-pressure; 0: the system's
};

class blocking_client {
public:
    explicit blocking_client(client_options options); // connects; throws client_error
    ~blocking_client();
    blocking_client(blocking_client&&) noexcept;
    blocking_client& operator=(blocking_client&&) noexcept;

    // Bytes as they are. False if the peer is gone or does not read for the timeout.
    bool send(std::string_view bytes);
    // Writes a head (Host and, with a body, Content-Length are added unless given) and the body.
    bool send_request(std::string_view method, std::string_view target, const header_list& headers = {},
                      std::string_view body = {});

    // The head of the next final response; 1xx heads before it are noted. `method` is that of the request (HEAD has no
    // body). The body stays unread.
    client_response read_head(std::string_view method = "GET");
    // The next piece of the current body, decoded; empty at its end (see ended()).
    std::string read_body_some();
    // The next event or comment of the current body; nothing at its end.
    std::optional<sse_event> next_event();
    // How the current body ended; none while it has not.
    [[nodiscard]] message_end ended() const noexcept;

    client_response read_response(std::string_view method = "GET"); // head and whole body
    client_response request(std::string_view method, std::string_view target, const header_list& headers = {},
                            std::string_view body = {});

    // Waits until the peer ends the connection. Bytes that come meanwhile are kept for stray(). `complete`: FIN (TLS:
    // with close_notify), `truncated`: TLS without close_notify, `reset`, or `timeout`: still open.
    message_end wait_closed(std::chrono::milliseconds timeout);
    // Bytes read beyond the current message.
    [[nodiscard]] std::string stray() const;

    void half_close(); // FIN; reading goes on
    void close();      // FIN (TLS: close_notify first)
    void reset();      // RST
    void set_timeout(std::chrono::milliseconds timeout);
    [[nodiscard]] std::uint16_t local_port() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

// Splits a complete event stream, for bodies read whole.
[[nodiscard]] std::vector<sse_event> split_events(std::string_view body);

// CLOCK_MONOTONIC now, in ns: the clock of sse_event and of the simulated provider.
[[nodiscard]] std::int64_t monotonic_ns() noexcept;

} // namespace evenkeel::provider
