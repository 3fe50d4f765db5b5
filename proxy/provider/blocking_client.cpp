#include "proxy/provider/blocking_client.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>

namespace evenkeel::provider {

namespace {

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::string errno_text(const std::string& what, int number) {
    return what + ": " + std::strerror(number); // NOLINT(concurrency-mt-unsafe): glibc's is per thread
}

// Takes the first event off `buffer` (through its blank line), or nothing if none is complete. Lines end CR, LF or
// CRLF; a CR at the very end may yet become CRLF, so it completes nothing unless `at_end`.
std::optional<sse_event> take_event(std::string& buffer, bool at_end) {
    std::size_t line_start = 0;
    std::size_t position = 0;
    sse_event out;
    bool any_field = false;
    bool any_data = false;
    while (position < buffer.size()) {
        const char c = buffer[position];
        if (c != '\n' && c != '\r') {
            ++position;
            continue;
        }
        if (c == '\r' && position + 1 == buffer.size() && !at_end) return std::nullopt;
        const std::string_view line{buffer.data() + line_start, position - line_start};
        position += c == '\r' && position + 1 < buffer.size() && buffer[position + 1] == '\n' ? 2 : 1;
        line_start = position;
        if (line.empty()) {
            out.raw = buffer.substr(0, position);
            out.comment = !any_field;
            buffer.erase(0, position);
            return out;
        }
        if (line.front() == ':') continue;
        any_field = true;
        const auto colon = line.find(':');
        const auto name = line.substr(0, colon);
        auto value = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
        if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
        if (name == "event") out.event = value;
        if (name == "id") out.id = value;
        if (name == "data") {
            if (any_data) out.data += '\n';
            out.data += value;
            any_data = true;
        }
    }
    return std::nullopt;
}

struct ssl_context_deleter {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
struct ssl_deleter {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};

std::string openssl_text(const std::string& what) {
    std::array<char, 256> text{};
    ERR_error_string_n(ERR_get_error(), text.data(), text.size());
    ERR_clear_error();
    return what + ": " + text.data();
}

} // namespace

std::string_view to_string(message_end end) noexcept {
    switch (end) {
    case message_end::none: return "none";
    case message_end::complete: return "complete";
    case message_end::truncated: return "truncated";
    case message_end::reset: return "reset";
    case message_end::timeout: return "timeout";
    case message_end::malformed: return "malformed";
    }
    return "unknown";
}

std::string client_response::header(std::string_view name) const {
    for (const auto& [field, value] : headers)
        if (equal_ignoring_case(field, name)) return value;
    return {};
}

std::size_t client_response::header_count(std::string_view name) const {
    return static_cast<std::size_t>(std::count_if(headers.begin(), headers.end(),
                                                  [&](const auto& h) { return equal_ignoring_case(h.first, name); }));
}

std::int64_t monotonic_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::vector<sse_event> split_events(std::string_view body) {
    std::vector<sse_event> out;
    std::string buffer{body};
    while (auto event = take_event(buffer, true)) out.push_back(std::move(*event));
    return out;
}

struct blocking_client::state {
    enum class body_kind : unsigned char { none, length, chunked, until_close };

    client_options options;
    int socket = -1;
    std::unique_ptr<SSL_CTX, ssl_context_deleter> context;
    std::unique_ptr<SSL, ssl_deleter> ssl;

    std::string input;                          // read, not consumed
    message_end stream_end = message_end::none; // of the connection
    std::string stream_detail;
    std::int64_t last_read_ns = 0;

    // The current message.
    body_kind body = body_kind::none;
    std::uint64_t remaining = 0; // of the length or the current chunk
    bool in_chunk = false;
    message_end message = message_end::none;
    std::string message_detail;
    std::string events; // decoded bytes not yet an event
    std::vector<std::size_t> chunks;
    header_list trailers;

    ~state() { close_socket(); }

    void close_socket() noexcept {
        ssl.reset();
        if (socket >= 0) ::close(socket);
        socket = -1;
    }

    void connect() {
        socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (socket < 0) throw client_error(errno_text("socket", errno), errno);
        const int one = 1;
        ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (options.receive_buffer > 0)
            ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof options.receive_buffer);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(options.port);
        if (::inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1)
            throw client_error("not a literal IPv4 address: " + options.host, 0);
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
        if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            if (errno != EINPROGRESS) throw client_error(errno_text("connect", errno), errno);
            if (!wait(POLLOUT, options.timeout)) throw client_error("connect: timed out", ETIMEDOUT);
            int error = 0;
            socklen_t size = sizeof error;
            ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error != 0) throw client_error(errno_text("connect", error), error);
        }
        if (options.tls) handshake();
    }

    void handshake() {
        context.reset(SSL_CTX_new(TLS_client_method()));
        if (!context) throw client_error(openssl_text("tls"), 0);
        const auto& tls = *options.tls;
        if (!tls.ca_file.empty()) {
            if (SSL_CTX_load_verify_locations(context.get(), tls.ca_file.c_str(), nullptr) != 1)
                throw client_error(openssl_text("ca file"), 0);
            SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
        }
        if (!tls.cert_file.empty() &&
            (SSL_CTX_use_certificate_chain_file(context.get(), tls.cert_file.c_str()) != 1 ||
             SSL_CTX_use_PrivateKey_file(context.get(), tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1))
            throw client_error(openssl_text("client certificate"), 0);
        ssl.reset(SSL_new(context.get()));
        const std::string& name = tls.server_name.empty() ? options.host : tls.server_name;
        in_addr literal{};
        if (::inet_pton(AF_INET, name.c_str(), &literal) == 1) {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str());
        } else {
            // The macro SSL_set_tlsext_host_name casts in the old style.
            std::string copy = name;
            SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, copy.data());
            SSL_set1_host(ssl.get(), name.c_str());
        }
        SSL_set_fd(ssl.get(), socket);
        for (;;) {
            const int result = SSL_connect(ssl.get());
            if (result == 1) return;
            if (!wait_for_tls(result)) {
                const auto text = openssl_text("tls handshake");
                close_socket();
                throw client_error(text, 0);
            }
        }
    }

    [[nodiscard]] bool wait(short events_wanted, std::chrono::milliseconds limit) const {
        const auto deadline = std::chrono::steady_clock::now() + limit;
        for (;;) {
            pollfd entry{socket, events_wanted, 0};
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
            const int ready = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
            if (ready > 0) return true;
            if (ready == 0) return false;
            if (errno != EINTR) return true; // the call that follows reports it
        }
    }

    // After an SSL call returned `result`: waits for what it wants. False if it failed or nothing came.
    [[nodiscard]] bool wait_for_tls(int result) const {
        switch (SSL_get_error(ssl.get(), result)) {
        case SSL_ERROR_WANT_READ: return wait(POLLIN, options.timeout);
        case SSL_ERROR_WANT_WRITE: return wait(POLLOUT, options.timeout);
        default: return false;
        }
    }

    void end_stream(message_end end, std::string detail = {}) {
        stream_end = end;
        stream_detail = std::move(detail);
    }

    // Reads once into `input`. False if the connection is at its end or nothing came.
    bool fill(std::chrono::milliseconds limit) {
        if (stream_end != message_end::none && stream_end != message_end::timeout) return false;
        stream_end = message_end::none;
        std::array<char, 65536> block; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the read
        for (;;) {
            if (ssl) {
                const int got = SSL_read(ssl.get(), block.data(), static_cast<int>(block.size()));
                if (got > 0) return take(block.data(), static_cast<std::size_t>(got));
                const int error = SSL_get_error(ssl.get(), got);
                if (error == SSL_ERROR_ZERO_RETURN) return end_stream(message_end::complete), false;
                if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
                    if (!wait(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, limit))
                        return end_stream(message_end::timeout), false;
                    continue;
                }
                if (error == SSL_ERROR_SYSCALL && errno != 0)
                    return end_stream(message_end::reset, errno_text("read", errno)), false;
                // OpenSSL 3 reports an end without close_notify as a protocol error of its own.
                return end_stream(message_end::truncated, openssl_text("end without close_notify")), false;
            }
            const ssize_t got = ::recv(socket, block.data(), block.size(), 0);
            if (got > 0) return take(block.data(), static_cast<std::size_t>(got));
            if (got == 0) return end_stream(message_end::complete), false;
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return end_stream(message_end::reset, errno_text("read", errno)), false;
            if (!wait(POLLIN, limit)) return end_stream(message_end::timeout), false;
        }
    }

    bool take(const char* data, std::size_t size) {
        last_read_ns = monotonic_ns();
        input.append(data, size);
        return true;
    }

    // What an end of the connection means for a message that is not finished.
    [[nodiscard]] message_end unfinished() const noexcept {
        return stream_end == message_end::complete ? message_end::truncated : stream_end;
    }

    void finish(message_end end, std::string detail = {}) {
        message = end;
        message_detail = detail.empty() ? stream_detail : std::move(detail);
    }

    // A line without its CRLF, or nothing (then finish() was called). Bare LF is malformed.
    std::optional<std::string> read_line() {
        std::size_t searched = 0;
        for (;;) {
            const auto lf = input.find('\n', searched);
            if (lf != std::string::npos) {
                if (lf == 0 || input[lf - 1] != '\r') return finish(message_end::malformed, "bare LF"), std::nullopt;
                std::string line = input.substr(0, lf - 1);
                input.erase(0, lf + 1);
                return line;
            }
            searched = input.size();
            if (searched > 1024 * 1024) return finish(message_end::malformed, "endless line"), std::nullopt;
            if (!fill(options.timeout)) return finish(unfinished()), std::nullopt;
        }
    }

    bool read_fields(header_list& into) {
        for (;;) {
            auto line = read_line();
            if (!line) return false;
            if (line->empty()) return true;
            const auto colon = line->find(':');
            if (colon == std::string::npos || colon == 0)
                return finish(message_end::malformed, "bad field: " + *line), false;
            into.emplace_back(line->substr(0, colon), trim(std::string_view{*line}.substr(colon + 1)));
        }
    }

    void read_head(client_response& out, std::string_view method) {
        message = message_end::none;
        message_detail.clear();
        events.clear();
        chunks.clear();
        trailers.clear();
        in_chunk = false;
        remaining = 0;
        for (;;) {
            auto line = read_line();
            if (!line) return;
            int status = 0;
            const bool version = line->starts_with("HTTP/1.0 ") || line->starts_with("HTTP/1.1 ");
            const char* digits = line->data() + 9;
            if (!version || line->size() < 12 || std::from_chars(digits, digits + 3, status).ptr != digits + 3)
                return finish(message_end::malformed, "bad status line: " + *line);
            header_list fields;
            if (!read_fields(fields)) return;
            if (status >= 100 && status < 200 && status != 101) {
                out.informational.push_back(status);
                continue;
            }
            out.status = status;
            out.minor_version = (*line)[7] - '0';
            out.reason = line->size() > 13 ? line->substr(13) : "";
            out.headers = std::move(fields);
            break;
        }
        const auto coding = out.header("transfer-encoding");
        const auto length = out.header("content-length");
        if (method == "HEAD" || out.status == 101 || out.status == 204 || out.status == 304) {
            body = body_kind::none;
            return finish(message_end::complete);
        }
        if (!coding.empty()) {
            if (!equal_ignoring_case(coding, "chunked")) return finish(message_end::malformed, "coding " + coding);
            if (!length.empty()) return finish(message_end::malformed, "both content-length and transfer-encoding");
            body = body_kind::chunked;
        } else if (!length.empty()) {
            const auto parsed = std::from_chars(length.data(), length.data() + length.size(), remaining);
            if (parsed.ec != std::errc{} || parsed.ptr != length.data() + length.size())
                return finish(message_end::malformed, "content-length " + length);
            body = body_kind::length;
            if (remaining == 0) finish(message_end::complete);
        } else {
            body = body_kind::until_close;
        }
    }

    std::string take_input(std::uint64_t limit) {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(limit, input.size()));
        std::string piece = input.substr(0, size);
        input.erase(0, size);
        return piece;
    }

    std::string read_chunked() {
        if (!in_chunk) {
            auto line = read_line();
            if (!line) return {};
            const auto parsed = std::from_chars(line->data(), line->data() + line->size(), remaining, 16);
            const bool digits = parsed.ec == std::errc{} && parsed.ptr != line->data();
            if (!digits || (parsed.ptr != line->data() + line->size() && *parsed.ptr != ';'))
                return finish(message_end::malformed, "bad chunk size: " + *line), std::string{};
            if (remaining == 0) {
                if (read_fields(trailers)) finish(message_end::complete);
                return {};
            }
            chunks.push_back(static_cast<std::size_t>(remaining));
            in_chunk = true;
        }
        if (input.empty() && !fill(options.timeout)) return finish(unfinished()), std::string{};
        std::string piece = take_input(remaining);
        remaining -= piece.size();
        if (remaining == 0) {
            in_chunk = false;
            // The CRLF is left to the next call, so that a chunk is handed out the moment its data is there.
            pending_crlf = true;
        }
        return piece;
    }
    bool pending_crlf = false;

    std::string read_some() {
        while (message == message_end::none) {
            if (body == body_kind::chunked) {
                if (pending_crlf) {
                    pending_crlf = false;
                    auto line = read_line();
                    if (!line) break;
                    if (!line->empty()) {
                        finish(message_end::malformed, "no CRLF after a chunk");
                        break;
                    }
                }
                if (auto piece = read_chunked(); !piece.empty()) return piece;
                continue;
            }
            if (input.empty() && !fill(options.timeout)) {
                finish(body == body_kind::until_close && stream_end == message_end::complete ? message_end::complete
                                                                                             : unfinished());
                break;
            }
            std::string piece = take_input(body == body_kind::length ? remaining : input.size());
            if (body == body_kind::length) {
                remaining -= piece.size();
                if (remaining == 0) finish(message_end::complete);
            }
            return piece;
        }
        return {};
    }

    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            if (socket < 0) return false;
            if (ssl) {
                const int sent =
                    SSL_write(ssl.get(), bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
                if (sent > 0) {
                    bytes.remove_prefix(static_cast<std::size_t>(sent));
                } else if (!wait_for_tls(sent)) {
                    ERR_clear_error();
                    return false;
                }
                continue;
            }
            const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent >= 0) {
                bytes.remove_prefix(static_cast<std::size_t>(sent));
            } else if (errno == EAGAIN) {
                if (!wait(POLLOUT, options.timeout)) return false;
            } else if (errno != EINTR) {
                return false;
            }
        }
        return true;
    }
};

blocking_client::blocking_client(client_options options) : state_(std::make_unique<state>()) {
    state_->options = std::move(options);
    if (state_->options.tls) {
        // OpenSSL writes without MSG_NOSIGNAL.
        static const bool ignored = std::signal(SIGPIPE, SIG_IGN) != SIG_ERR;
        static_cast<void>(ignored);
    }
    state_->connect();
}
blocking_client::~blocking_client() = default;
blocking_client::blocking_client(blocking_client&&) noexcept = default;
blocking_client& blocking_client::operator=(blocking_client&&) noexcept = default;

bool blocking_client::send(std::string_view bytes) { return state_->send(bytes); }

bool blocking_client::send_request(std::string_view method, std::string_view target, const header_list& headers,
                                   std::string_view body) {
    const auto given = [&](std::string_view name) {
        return std::any_of(headers.begin(), headers.end(),
                           [&](const auto& field) { return equal_ignoring_case(field.first, name); });
    };
    std::string bytes;
    bytes.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
    if (!given("host")) bytes += "host: " + state_->options.host + ":" + std::to_string(state_->options.port) + "\r\n";
    for (const auto& [name, value] : headers) bytes.append(name).append(": ").append(value).append("\r\n");
    if ((!body.empty() || method == "POST") && !given("content-length") && !given("transfer-encoding"))
        bytes += "content-length: " + std::to_string(body.size()) + "\r\n";
    bytes.append("\r\n").append(body);
    return send(bytes);
}

client_response blocking_client::read_head(std::string_view method) {
    client_response out;
    state_->pending_crlf = false;
    state_->read_head(out, method);
    out.end = state_->message;
    out.detail = state_->message_detail;
    return out;
}

std::string blocking_client::read_body_some() { return state_->read_some(); }

std::optional<sse_event> blocking_client::next_event() {
    for (;;) {
        if (auto event = take_event(state_->events, state_->message != message_end::none)) {
            event->arrived_ns = state_->last_read_ns;
            return event;
        }
        auto piece = state_->read_some();
        if (piece.empty()) return take_event(state_->events, true);
        state_->events += piece;
    }
}

message_end blocking_client::ended() const noexcept { return state_->message; }

client_response blocking_client::read_response(std::string_view method) {
    auto out = read_head(method);
    if (out.status == 0) return out;
    for (;;) {
        auto piece = state_->read_some();
        if (piece.empty()) break;
        out.body += piece;
    }
    out.end = state_->message;
    out.detail = state_->message_detail;
    out.trailers = state_->trailers;
    out.chunks = state_->chunks;
    return out;
}

client_response blocking_client::request(std::string_view method, std::string_view target, const header_list& headers,
                                         std::string_view body) {
    send_request(method, target, headers, body); // a refusal may arrive although not all was taken: read in any case
    return read_response(method);
}

message_end blocking_client::wait_closed(std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        if (!state_->fill(std::max(left, std::chrono::milliseconds{0}))) return state_->stream_end;
    }
}

std::string blocking_client::stray() const { return state_->input; }

void blocking_client::half_close() {
    if (state_->ssl) SSL_shutdown(state_->ssl.get());
    ::shutdown(state_->socket, SHUT_WR);
}

void blocking_client::close() {
    if (state_->ssl) SSL_shutdown(state_->ssl.get());
    state_->close_socket();
}

void blocking_client::reset() {
    const linger hard{1, 0};
    if (state_->socket >= 0) ::setsockopt(state_->socket, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    state_->close_socket();
}

void blocking_client::set_timeout(std::chrono::milliseconds timeout) { state_->options.timeout = timeout; }

std::uint16_t blocking_client::local_port() const {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
    ::getsockname(state_->socket, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

} // namespace evenkeel::provider
