#pragma once
// A simulated LLM provider on a real socket: OpenAI and Anthropic shapes, JSON and streams, with every misbehaviour a
// proxy has to survive, chosen per request by a script (script.hpp). Content is a function of the request, so
// that a crossed, lost or reordered frame shows; every request is recorded with its times.
//
//     provider upstream({});                        // 127.0.0.1, a free port, its own thread
//     upstream.script({.script = "status=500", .times = 2});
//     ... send requests to upstream.port() ...
//     CHECK(upstream.records().size() == 3);
//
// Endpoints, below any prefix (`/backup/v1/chat/completions` is served too, so that one provider stands for several):
//   POST /v1/chat/completions, /v1/completions, /v1/responses, /v1/embeddings; GET /v1/models, /v1/models/ID
//   POST /v1/messages, /v1/messages/count_tokens
//   any  /echo      method, target, version, fields in order, body length and SHA-256, as JSON
//   any  /bytes/N   N deterministic bytes (byte i is 'a' + i % 26)
//   any  /upload    reads the body without keeping it: {"bytes": N, "sha256": "..."}
// Control, never scripted and never recorded:
//   GET  /__sim/records, /__sim/counters
//   POST /__sim/reset       forgets records, rules and counts
//   POST /__sim/script      {"script", "times", "path", "header", "value"}: a rule, or a list of them
//   POST /__sim/refuse      {"ms": N}: the port is closed for N ms; connections stay
//   POST /__sim/drop        {"how": "close" | "reset"}: ends all idle connections now
// The control paths are also served on control_port(), which no accept= rule and no refusal touches.
//
// Content. If the body contains `nonce:XYZ` (letters, digits, `_`, `.`, `-`), piece i of the text begins with
// `[XYZ:i]`, tool arguments and embeddings carry it too. Requests that are equal, byte by byte, get equal answers: ids
// are hashes and `created` is fixed. The response field x-sim-attempt is the serial number of the request. A request
// whose model is `no-such-model` gets the 404 of its dialect; a body that is no JSON object a 400.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::provider {

struct provider_tls {
    std::string cert_file, key_file; // PEM
    std::string client_ca_file = {}; // set: a client certificate of this CA is demanded
    int max_version = 0;             // TLS1_1_VERSION, ... of OpenSSL, also what is no longer allowed; 0: the newest
};

struct attempt_record;

struct provider_options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;               // 0: a free one
    std::uint16_t control_port = 0;       // 0: a free one
    std::optional<provider_tls> tls = {}; // the control port stays plain
    std::uint64_t seed = 1;
    std::string script = {};                   // for requests no rule and no x-sim field speaks for
    bool record = true;                        // false: counters only, for load
    std::size_t max_records = 100'000;         // the oldest are dropped
    std::size_t record_body_bytes = 0;         // how much of a request's body a record keeps
    std::chrono::milliseconds idle_timeout{0}; // keep-alive connections; 0: for ever
    std::chrono::milliseconds idle_random{0};  // > 0: closed after a drawn time up to this, once they have served
    std::size_t receive_buffer = 0;            // SO_RCVBUF; 0: the system's
    // Asked for a script once the body of a request was read and its nonce is known, before rules and `script`, after
    // the request's own x-sim; nothing: they speak. Called on the provider's thread, which waits for it.
    std::function<std::optional<std::string>(const attempt_record&)> script_for = {};
    // Told each piece of a request's body as it is read, and its place; on the provider's thread.
    std::function<void(const attempt_record&, std::uint64_t position, std::string_view data)> on_body = {};
};

// One request as the provider saw it. Times are CLOCK_MONOTONIC in ns; 0: has not happened.
struct attempt_record {
    std::uint64_t serial = 0;        // from 1, in order of heads read; x-sim-attempt
    std::uint64_t connection = 0;    // from 1, in order of accepts
    std::uint64_t on_connection = 0; // 1 for the first request of a connection
    std::string method, target;
    int minor_version = 1;
    std::vector<std::pair<std::string, std::string>> headers; // in order, as received
    std::uint64_t body_bytes = 0;
    std::string body_sha256; // hex; empty until the body was read
    std::string body;        // its beginning, see record_body_bytes
    std::string nonce;
    std::uint64_t turn = 0; // of the requests with this nonce, or else with this path, from 1; 0: not known yet
    std::string script;     // the text that applied; empty: healthy
    int status = 0;         // sent; 0: none

    std::int64_t accepted_ns = 0;    // of the connection
    std::int64_t head_ns = 0;        // request head read
    std::int64_t body_ns = 0;        // request body read
    std::int64_t first_byte_ns = 0;  // first response byte handed to the kernel
    std::int64_t finished_ns = 0;    // the answer's end, or where the script broke it off
    std::int64_t peer_closed_ns = 0; // FIN or RST of the peer seen while the exchange ran
    std::uint64_t bytes_in = 0;      // of this request on the wire (TLS: plaintext)
    std::uint64_t bytes_out = 0;     // of its response
    int events_out = 0;              // content events sent
    // The ledger, as the answers tell it (a piece of text is a token): of an answer in one piece once it is sent, of a
    // stream with each piece; of one whose peer leaves before that the input alone.
    std::uint64_t input_tokens = 0, output_tokens = 0;
    bool cancelled = false;  // the peer left before the answer was at its end
    bool peer_reset = false; // ... by RST
    std::string server_name; // SNI; empty: none
    bool resumed = false;    // the TLS session
    bool complete = false;   // the whole answer was sent and the script did not break it

    [[nodiscard]] std::string header(std::string_view name) const; // first value, case-insensitive; empty if absent
};

struct provider_counters {
    std::uint64_t connections = 0; // accepted
    std::uint64_t open_connections = 0;
    std::uint64_t peak_connections = 0;
    std::uint64_t requests = 0; // heads read, control excluded
    std::uint64_t in_flight = 0;
    std::uint64_t peak_in_flight = 0;
    std::uint64_t completed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t broken = 0; // ended by the script
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::uint64_t input_tokens = 0, output_tokens = 0;
    std::uint64_t handshake_failures = 0;
    std::uint64_t goodbyes = 0; // peers that left with close_notify
};

// Says which script applies to which requests. A request's own x-sim field wins; then provider_options::script_for;
// then the first rule that matches and has times left; then provider_options::script.
struct provider_rule {
    std::string script = {};
    int times = -1;          // how many requests (accept=: connections) it serves; -1: any number
    std::string path = {};   // prefix of the target; empty: any
    std::string header = {}; // name of a request field that must be there; empty: none
    std::string value = {};  // ... and contain this
};

class simulated_provider {
public:
    explicit simulated_provider(provider_options options = {}); // starts; throws std::runtime_error if it cannot listen
    ~simulated_provider();                                      // stops
    simulated_provider(const simulated_provider&) = delete;
    simulated_provider& operator=(const simulated_provider&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] std::uint16_t control_port() const noexcept;
    [[nodiscard]] std::string url() const; // http(s)://127.0.0.1:PORT

    // All below from any thread.
    void stop();                     // closes everything; the records stay readable
    void script(provider_rule rule); // appended; throws script_error
    void clear_scripts();
    void play(std::string script);              // reset(), and this for every request from now on; throws script_error
    void reset();                               // forgets records, rules, counts of fail_times, counters
    void refuse();                              // closes the listener: connection refused; connections stay
    void accept_again();                        // on the same port
    void drop_idle(bool with_reset = false);    // ends all connections that wait for a request; TLS: with close_notify
    void say_to_idle(const std::string& bytes); // what none of them has asked for

    [[nodiscard]] std::vector<attempt_record> records() const;
    [[nodiscard]] provider_counters counters() const;
    [[nodiscard]] std::uint64_t turns(const std::string& nonce) const; // how many requests had it
    // Waits until `holds` is true of the counters; false after `timeout`. Wakes on every change, no polling. The
    // functions are called under the provider's mutex: they must not call it back.
    bool wait_for(const std::function<bool(const provider_counters&)>& holds,
                  std::chrono::milliseconds timeout = std::chrono::seconds{5}) const;
    // The first finished record that matches; nothing after `timeout`.
    [[nodiscard]] std::optional<attempt_record> wait_for_record(
        const std::function<bool(const attempt_record&)>& matches,
        std::chrono::milliseconds timeout = std::chrono::seconds{5}) const;

private:
    struct implementation;
    std::unique_ptr<implementation> implementation_;
};

[[nodiscard]] std::string records_json(const std::vector<attempt_record>& records);

} // namespace evenkeel::provider
