#pragma once
// The script of a misbehaviour: one line of text that says how the simulated provider treats a request. It arrives in
// the request field `x-sim`, or in a rule (provider.hpp). An empty script is a healthy, immediate answer.
//
//     script      := alternative ("|" alternative)*
//     alternative := [SHARE ":"] [setting (";" setting)*]      SHARE 0..1; one draw picks; without a SHARE: the rest
//     setting     := KEY | KEY "=" VALUE
//
//     x-sim: status=429; retry_after=2
//     x-sim: events=20; gap=10ms; stall_after=5
//     x-sim: 0.3: status=500 | 0.04: stall_after=request | first=lognormal:800ms:0.45; gap=30ms
//
// Times are `250ms`, `2s`, `100us`, or drawn: `lognormal:MEDIAN:SIGMA`, `uniform:LOW:HIGH`. Sizes are `100`, `100b`,
// `64KiB`, `2MiB`. A place is `request` (the request was read, nothing sent), `status_line` (half a status line sent),
// `head`, N (N content events; of a body that is no stream: N of its `events` equal parts), or a size with its unit
// (`100b`: body bytes).
//
// When it applies
//   fail_times=N         only for the first N requests (of this key); later ones are healthy
//   key=K                counts apart for K; without it for the request's nonce, else for the path
//   quota=N/T            N requests in each T, one T after the other since the first of all requests that have this
//                        script and key; beyond them 429, with the time until the next T in retry-after-ms
//   quota_fills=W        whole (each T begins with all of them; default) | steadily (a bucket of N that fills in T)
//   quota_says=W         openai | anthropic | azure | ietf: the fields that tell of it, in every answer
// Time
//   delay=T              before the head, after the request was read
//   first=T              between head (and preamble) and the first content
//   gap=T                between content events
//   preamble=late        the role-only delta, message_start, ... come with the first content, not with the head
//   keepalive=N@T        N comments, one each T, before anything else of the body (JSON: blank lines, chunked)
//   keepalive_form=F     comment (": keep-alive") | processing (": OPENROUTER PROCESSING") | blank | ping
//   drip=T[/N]           every byte of the response alone (or N at a time), T apart
// Content
//   events=N             content pieces (12); fewer if the request's max_tokens is smaller
//   piece=SIZE           each piece padded to this size
//   size=SIZE            the whole text padded to this size
//   unicode              text beyond ASCII in every piece
//   split=T              every event in two writes T apart, within a code point where there is one
//   merge                all events in one write
//   stamp                each event carries "sim":{"sent_ns","seq","attempt"}: CLOCK_MONOTONIC at its send
//   finish=R             finish reason: stop, length, content_filter (Anthropic: end_turn, max_tokens, refusal)
//   terminal=W           all | finish (no [DONE], no message_stop) | done (no finish reason) | none; then a clean end
//   encoding=gzip        the body compressed
// Errors before the stream
//   status=N             an error answer with the dialect's body for it; 200..299 only changes the status
//   error=KIND           rate quota overload server timeout invalid auth billing permission not_found conflict
//                        too_large context_length content_filter; sets the status unless `status` does
//   retry_after=N        seconds; retry_after=date:N an HTTP date N seconds ahead; retry_after_ms=N
//   should_retry=B       x-should-retry: true | false
//   body=W               html | empty | text:ANY: instead of the body due
//   raw=BYTES            instead of an answer, no HTTP unless they are: \r, \n, \\, \xHH, neither `;` nor `|`; the
//                        connection goes on, but with connection=close
//   early[=W]            answer before the body is read; then close (default), drain or reset
//   early_after=SIZE     ... once so much of the body was read, or all of it
//   reads=SIZE@T         the body is read slowly: at most SIZE each T
// Breaking off
//   reset_after=PLACE    RST
//   close_after=PLACE    FIN, without the last chunk or short of the announced length
//   end_after=PLACE      a formally complete end: last chunk sent, no terminal marker
//   stall_after=PLACE    silence until the peer leaves, or for stall=T
//   error_after=N        an error event in the stream after N content events, kind by `error` (overload), then by
//   error_then=W         end (last chunk; default) | done ([DONE], then end) | close | continue
//   error_form=W         event (default: `event: error`) | data (OpenAI only: `data: {"error": ...}`)
//   malformed_after=N    an event that is not JSON after N content events; the stream goes on
//   bad_chunk_after=N    a chunk size that is none after N content events, then FIN
//   tls_truncate         FIN without close_notify wherever the connection ends
//   keep_going           a peer that closes does not stop the answer (half-closed clients)
// Framing and connection
//   framing=W            length | chunked | close (delimited by the end, HTTP/1.1) | none
//   http=1.0             an HTTP/1.0 answer, delimited by the end
//   content_length=+N    announce N too many (then FIN) or, with -N, too few
//   conflict             both Content-Length and Transfer-Encoding
//   extra=SIZE           bytes after the response; extra=response: a second, whole response
//   informational=A,B    1xx heads before the final one
//   switch               an unasked 101 Switching Protocols, then bytes of no protocol
//   connection=close     said and done; connection=announce: said only
//   keep_alive=N         Keep-Alive: timeout=N is announced
//   idle_close=T         the connection is closed after T without another request
//   header=NAME:VALUE    one more response field (any number of them); type=T: the content type
// Connections (rules only, see provider_rule)
//   accept=W             what happens to an accepted connection: reset, close, silence, garbage (`raw`, if given; then
//                        FIN), or tunnel: a CONNECT in plain text is granted as an egress proxy would, and leads here

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::provider {

// A duration that may be drawn: `value` is the constant, the median or the low end; `spread` sigma or the high end.
struct script_time {
    enum class law : unsigned char { constant, lognormal, uniform };
    law is = law::constant;
    std::int64_t value_ns = 0;
    double spread = 0;                                         // lognormal: sigma; uniform: the high end in ns
    [[nodiscard]] std::int64_t draw(double u, double v) const; // u, v in [0, 1)
    [[nodiscard]] bool none() const noexcept { return is == law::constant && value_ns == 0; }
};

struct script_place {
    enum class at : unsigned char { request, status_line, head, events, bytes };
    at is = at::request;
    std::uint64_t count = 0;
};

enum class error_kind : unsigned char {
    none,
    rate,
    quota,
    overload,
    server,
    timeout,
    invalid,
    auth,
    billing,
    permission,
    not_found,
    conflict,
    too_large,
    context_length,
    content_filter,
};
enum class keepalive_form : unsigned char { comment, processing, blank, ping };
enum class terminal_part : unsigned char { all, finish, done, none };
enum class early_end : unsigned char { none, close, drain, reset };
enum class error_sequel : unsigned char { end, done, close, go_on };
enum class script_framing : unsigned char { automatic, length, chunked, close, none };
enum class accept_action : unsigned char { none, reset, close, silence, garbage, tunnel };

struct provider_script {
    int fail_times = -1; // -1: always
    std::string key;
    std::uint64_t quota = 0; // requests in each window; 0: any number
    std::int64_t quota_window_ns = 0;
    bool quota_fills_steadily = false;
    std::string quota_says; // whose fields; empty: nothing

    script_time delay, first, gap;
    bool late_preamble = false;
    int keepalives = 0;
    script_time keepalive_interval;
    keepalive_form keepalive = keepalive_form::comment;
    std::optional<script_time> drip;
    std::size_t drip_bytes = 1;

    int events = 12;
    std::size_t piece_bytes = 0;
    std::size_t text_bytes = 0;
    bool unicode = false;
    std::optional<script_time> split;
    bool merge = false;
    bool stamp = false;
    std::string finish;
    terminal_part terminal = terminal_part::all;
    bool gzip = false;

    int status = 0; // 0: what is due
    error_kind error = error_kind::none;
    std::string retry_after; // seconds, or "date:N"
    std::string retry_after_ms;
    std::string should_retry;
    std::optional<std::string> body; // html, empty, text:...
    std::optional<std::string> raw;
    early_end early = early_end::none;
    std::size_t early_after = 0;
    std::size_t reads_bytes = 0; // 0: as it comes
    script_time reads_interval;

    std::optional<script_place> reset_after, close_after, end_after, stall_after;
    std::optional<script_time> stall; // none: until the peer leaves
    int error_after = -1;
    error_sequel error_then = error_sequel::end;
    bool error_as_data = false;
    int malformed_after = -1;
    int bad_chunk_after = -1;
    bool tls_truncate = false;
    bool keep_going = false;

    script_framing framing = script_framing::automatic;
    bool http_1_0 = false;
    std::int64_t content_length_error = 0;
    bool conflict = false;
    std::size_t extra_bytes = 0;
    bool extra_response = false;
    std::vector<int> informational;
    bool unasked_switch = false;
    bool close_connection = false; // close after the answer
    bool announce_close = false;   // say `Connection: close`
    std::string keep_alive;        // seconds
    std::optional<script_time> idle_close;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string content_type;

    accept_action accept = accept_action::none;
};

struct script_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A parsed script with its alternatives.
class script_choice {
public:
    script_choice() = default;
    // Throws script_error that quotes the offending setting.
    explicit script_choice(std::string_view text);
    [[nodiscard]] const provider_script& pick(double u) const noexcept; // u in [0, 1)
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] bool is_about_reading() const noexcept; // one of them is: it has to be picked before the body is read

private:
    struct alternative {
        double share;
        provider_script script;
    };
    std::string text_;
    std::vector<alternative> alternatives_;
    provider_script healthy_;
};

[[nodiscard]] std::int64_t parse_script_duration(std::string_view text); // ns; throws script_error

} // namespace evenkeel::provider
