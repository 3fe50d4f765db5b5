#include "proxy/provider/blocking_client.hpp"

#include "policies/assert.hpp"
#include "proxy/provider/wire.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/string.hpp>

#include <algorithm>
#include <array>
#include <atomic>

namespace evenkeel::provider {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using socket_type = asio::basic_stream_socket<asio::ip::tcp, asio::io_context::executor_type>;

struct io_result {
    error_code error = asio::error::timed_out;
    std::size_t bytes = 0;
};

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
        if (boost::beast::iequals(field, name)) return value;
    return {};
}

std::size_t client_response::header_count(std::string_view name) const {
    return static_cast<std::size_t>(std::count_if(headers.begin(), headers.end(),
                                                  [&](const auto& h) { return boost::beast::iequals(h.first, name); }));
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
    client_options options;
    asio::io_context context{1};
    socket_type socket{context};
    std::optional<asio::ssl::context> tls_context;
    std::optional<asio::ssl::stream<socket_type&>> tls;

    std::string input;                          // read, not consumed
    message_end stream_end = message_end::none; // of the connection
    std::string stream_detail;
    std::int64_t last_read_ns = 0;

    // The current message.
    std::optional<message_reader<false>> reader;
    message_end message = message_end::none;
    std::string message_detail;
    std::string piece;  // decoded bytes not handed out
    std::string events; // decoded bytes not yet an event

    std::atomic<bool> working{false};
    std::optional<std::chrono::steady_clock::time_point> due; // for all of it

    // Runs what `start` begins, and breaks it off when it takes longer than `limit`.
    template <class Start>
    io_result within(std::chrono::milliseconds limit, Start start) {
        if (due) {
            using std::chrono::milliseconds;
            const auto left = std::chrono::ceil<milliseconds>(*due - std::chrono::steady_clock::now());
            limit = std::clamp(left, milliseconds{0}, limit);
        }
        // Two threads would run each other's handlers, and both wait for the slower one.
        EVENKEEL_ASSERT(!working.exchange(true), "a blocking client serves one thread at a time");
        io_result out;
        bool done = false;
        start([&](error_code error, std::size_t bytes = 0) {
            if (error != asio::error::operation_aborted) out.error = error;
            out.bytes = bytes;
            done = true;
        });
        context.restart();
        context.poll();
        if (!done) context.run_for(limit);
        if (!done) {
            error_code ignored;
            socket.cancel(ignored);
            context.run();
        }
        working = false;
        return out;
    }

    void connect() {
        error_code error;
        const auto address = asio::ip::make_address_v4(options.host, error);
        if (error) throw client_error("not a literal IPv4 address: " + options.host, 0);
        socket.open(asio::ip::tcp::v4(), error);
        if (error) throw client_error("socket: " + error.message(), error.value());
        socket.set_option(asio::ip::tcp::no_delay{true}, error);
        if (options.receive_buffer > 0)
            socket.set_option(asio::socket_base::receive_buffer_size{options.receive_buffer}, error);
        const auto made = within(options.timeout, [&](auto done) {
            socket.async_connect({address, options.port}, std::move(done));
        });
        if (made.error) throw client_error("connect: " + made.error.message(), made.error.value());
        if (options.tls) handshake(*options.tls);
    }

    void handshake(const client_tls& with) {
        const std::string& name = with.server_name.empty() ? options.host : with.server_name;
        try {
            tls_context.emplace(asio::ssl::context::tls_client);
            if (!with.ca_file.empty()) tls_context->load_verify_file(with.ca_file);
            if (!with.cert_file.empty()) {
                tls_context->use_certificate_chain_file(with.cert_file);
                tls_context->use_private_key_file(with.key_file, asio::ssl::context::pem);
            }
        } catch (const boost::system::system_error& error) {
            throw client_error(error.what(), 0);
        }
        tls.emplace(socket, *tls_context);
        if (!with.ca_file.empty()) {
            tls->set_verify_mode(asio::ssl::verify_peer);
            tls->set_verify_callback(asio::ssl::host_name_verification(name));
        }
        error_code literal;
        asio::ip::make_address(name, literal);
        // The macro SSL_set_tlsext_host_name casts in the old style.
        if (std::string copy = name; literal)
            SSL_ctrl(tls->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, copy.data());
        const auto made = within(
            options.timeout, [&](auto done) { tls->async_handshake(asio::ssl::stream_base::client, std::move(done)); });
        if (made.error) throw client_error("tls handshake: " + made.error.message(), 0);
    }

    // Reads once into `input`. False if the connection is at its end or nothing came.
    bool fill(std::chrono::milliseconds limit) {
        if (stream_end != message_end::none && stream_end != message_end::timeout) return false;
        std::array<char, 65536> block; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the read
        const auto [error, bytes] = within(limit, [&](auto done) {
            if (tls)
                tls->async_read_some(asio::buffer(block), std::move(done));
            else
                socket.async_read_some(asio::buffer(block), std::move(done));
        });
        stream_detail = error && error != asio::error::eof ? "read: " + error.message() : "";
        if (!error) {
            stream_end = message_end::none;
            last_read_ns = monotonic_ns();
            input.append(block.data(), bytes);
        } else if (error == asio::error::eof) {
            stream_end = message_end::complete;
        } else if (error == asio::error::timed_out) {
            stream_end = message_end::timeout;
        } else {
            stream_end =
                error.category() == boost::system::system_category() ? message_end::reset : message_end::truncated;
        }
        return !error;
    }

    void finish(message_end end, std::string detail = {}) {
        message = end;
        message_detail = detail.empty() ? stream_detail : std::move(detail);
    }

    // Nothing more comes. An end of the connection may be that of the message.
    void finish_at_end() {
        if (stream_end != message_end::complete) return finish(stream_end);
        finish(reader->may_end() ? message_end::complete : message_end::truncated);
    }

    void read_head(client_response& out, std::string_view method) {
        message = message_end::none;
        message_detail.clear();
        piece.clear();
        events.clear();
        for (;;) {
            reader.emplace([this](std::string_view data) { piece += data; }, method == "HEAD");
            message_part next{};
            while ((next = reader->read_head(input)) == message_part::head)
                if (!fill(options.timeout)) return finish_at_end();
            auto& head = reader->head;
            if (next != message_part::malformed && head.status / 100 == 1 && head.status != 101) {
                out.informational.push_back(head.status);
                continue;
            }
            out.status = head.status;
            out.minor_version = head.minor_version;
            out.reason = std::move(head.reason);
            out.headers = std::move(head.headers);
            if (next == message_part::malformed) return finish(message_end::malformed, reader->error);
            if (next == message_part::nothing) finish(message_end::complete);
            return;
        }
    }

    std::string read_some() {
        while (message == message_end::none && reader) {
            const auto next = reader->read_body(input);
            if (next == message_part::nothing) finish(message_end::complete);
            if (next == message_part::malformed) finish(message_end::malformed, reader->error);
            if (!piece.empty()) return std::exchange(piece, {});
            if (message == message_end::none && !fill(options.timeout)) finish_at_end();
        }
        return {};
    }

    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto [error, sent] = within(options.timeout, [&](auto done) {
                const auto buffer = asio::buffer(bytes.data(), bytes.size());
                if (tls)
                    tls->async_write_some(buffer, std::move(done));
                else
                    socket.async_write_some(buffer, std::move(done));
            });
            if (error) return false;
            bytes.remove_prefix(sent);
        }
        return true;
    }

    // With TLS, close_notify; the peer's is not waited for.
    void say_goodbye() {
        if (!tls || !socket.is_open()) return;
        const int seen = SSL_get_shutdown(tls->native_handle());
        SSL_set_shutdown(tls->native_handle(), seen | SSL_RECEIVED_SHUTDOWN);
        within(options.timeout, [&](auto done) { tls->async_shutdown(std::move(done)); });
        SSL_set_shutdown(tls->native_handle(), seen | SSL_SENT_SHUTDOWN);
    }
};

blocking_client::blocking_client(client_options options) : state_(std::make_unique<state>()) {
    state_->options = std::move(options);
    if (state_->options.whole.count() > 0) state_->due = std::chrono::steady_clock::now() + state_->options.whole;
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
                           [&](const auto& field) { return boost::beast::iequals(field.first, name); });
    };
    header_list all = headers;
    if (!given("host"))
        all.emplace(all.begin(), "host", state_->options.host + ":" + std::to_string(state_->options.port));
    if ((!body.empty() || method == "POST") && !given("content-length") && !given("transfer-encoding"))
        all.emplace_back("content-length", std::to_string(body.size()));
    return send(request_head_text(method, target, all).append(body));
}

client_response blocking_client::read_head(std::string_view method) {
    client_response out;
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
        const std::size_t most = state_->options.most_body;
        if (most == 0 || out.body.size() <= most) continue;
        state_->finish(message_end::malformed, "the answer is too large");
        break;
    }
    out.end = state_->message;
    out.detail = state_->message_detail;
    out.trailers = state_->reader->trailers;
    out.chunks = state_->reader->chunks;
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
    error_code ignored;
    state_->say_goodbye();
    state_->socket.shutdown(asio::socket_base::shutdown_send, ignored);
}

void blocking_client::close() {
    error_code ignored;
    state_->say_goodbye();
    state_->socket.close(ignored);
}

void blocking_client::reset() {
    error_code ignored;
    state_->socket.set_option(asio::socket_base::linger{true, 0}, ignored);
    state_->socket.close(ignored);
}

void blocking_client::set_timeout(std::chrono::milliseconds timeout) { state_->options.timeout = timeout; }

std::uint16_t blocking_client::local_port() const {
    error_code ignored;
    return state_->socket.local_endpoint(ignored).port();
}

} // namespace evenkeel::provider
