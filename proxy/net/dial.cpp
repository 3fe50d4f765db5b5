#include "proxy/net/dial.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace evenkeel::net {

namespace {
using kind = transport_error::kind;
using boost::asio::ip::tcp;

constexpr duration next_address_after = std::chrono::milliseconds{250}; // RFC 8305 5
constexpr std::size_t most_addresses = 8;                               // sockets that one open() may hold at a time
constexpr std::size_t longest_proxy_head = 8 * 1024;

std::string host_and_port(const config::url& of) {
    const bool six = of.host.find(':') != std::string::npos;
    return (six ? "[" + of.host + "]" : of.host) + ":" + std::to_string(of.port);
}

std::string to_text(const tcp::endpoint& of) {
    const std::string address = of.address().to_string();
    return (of.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(of.port());
}

// `code` is the kernel's.
transport_error connect_error(error_code code, std::string detail) {
    switch (code.value()) {
    case ECONNREFUSED: return {kind::refused, "connection_refused", 502, code, std::move(detail)};
    case ETIMEDOUT: return {kind::connect_timeout, "connection_timeout", 504, code, std::move(detail)};
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EACCES: // a broadcast address, or a firewall's rule
    case EPERM: return {kind::unreachable, "destination_ip_unroutable", 502, code, std::move(detail)};
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return {kind::limit, "connection_limit_reached", 503, code, std::move(detail)};
    default: return {kind::other, "connection_terminated", 502, code, std::move(detail)};
    }
}

void set_options(stream_socket& socket) {
    const int fd = socket.native_handle();
    const auto set = [fd](int level, int name, int value) { ::setsockopt(fd, level, name, &value, sizeof value); };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    // A model may think for minutes without a byte. Middleboxes forget silent flows (350 s on one large cloud), and a
    // dead peer should be noticed: probes after a minute, dead after three more.
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 30);
    set(IPPROTO_TCP, TCP_KEEPCNT, 6);
}

// The sockets that race. Shared with the completion handlers, which may run after connect() has returned.
struct race {
    struct runner {
        runner(stream_socket fresh, tcp::endpoint target) : socket(std::move(fresh)), to(std::move(target)) {}
        stream_socket socket;
        tcp::endpoint to;
        error_code result;
        bool reported = false; // connect() has seen the result
        bool finished = false;
    };
    std::vector<std::unique_ptr<runner>> runners;
    event* wake = nullptr; // null once connect() is gone
};

struct connect_handler {
    std::shared_ptr<race> all;
    race::runner* mine;
    void operator()(error_code error) {
        mine->finished = true;
        mine->result = error;
        if (all->wake != nullptr) all->wake->set();
    }
};

void start_runner(const std::shared_ptr<race>& all, executor where, const tcp::endpoint& to) {
    auto& mine = all->runners.emplace_back(std::make_unique<race::runner>(stream_socket(where), to));
    error_code error;
    mine->socket.open(boost::asio::generic::stream_protocol(to.protocol()), error);
    if (error) {
        mine->finished = true;
        mine->result = error;
        return;
    }
    set_options(mine->socket);
    mine->socket.async_connect(boost::asio::generic::stream_protocol::endpoint(to), connect_handler{all, mine.get()});
}

// Connecting leaves the descriptor registered for writability too, which an idle one always has: each time a wait is
// armed the reactor would wake up for that as well. Registered anew it is asked for reading alone, until a write waits.
error_code register_anew(stream_socket& connected, const tcp::endpoint& to) {
    error_code error;
    const auto fd = connected.release(error);
    if (error) return {}; // good enough as it is
    connected.assign(boost::asio::generic::stream_protocol(to.protocol()), fd, error);
    if (error) ::close(fd);
    return error;
}

// Ends the race when connect() leaves in whatever way.
struct race_end {
    race& all;
    ~race_end() {
        all.wake = nullptr;
        error_code ignored;
        for (auto& one : all.runners) one->socket.close(ignored);
    }
};

task<dialled> connect(opening& work, const dial_context& with, const config::url& hop, const config::upstream& to) {
    work.at = opening::phase::resolving;
    std::vector<boost::asio::ip::address> addresses;
    {
        const resolver::query query(with.resolver, hop.host, work.in().now(), work.in(), work.wake, with.owner);
        while (!query.ready() && !work.ended()) co_await work.wake.wait();
        if (work.ended()) co_return dialled{nullptr, work.error(to)};
        const resolved& found = query.answer();
        if (found.error) {
            co_return dialled{nullptr, transport_error{kind::dns, "dns_error", 502, found.error,
                                                       "cannot resolve '" + hop.host + "': " + found.error.message(),
                                                       found.not_found}};
        }
        addresses = found.addresses;
    }
    if (addresses.size() > most_addresses) addresses.resize(most_addresses);

    work.at = opening::phase::connecting;
    const auto all = std::make_shared<race>();
    all->wake = &work.wake;
    const race_end ending{*all};
    std::size_t running = 0;
    steady_time next_start = work.in().now();
    transport_error last;
    std::string failures;
    for (;;) {
        if (work.ended()) co_return dialled{nullptr, work.error(to)};
        bool failed = false;
        for (auto& one : all->runners) {
            if (!one->finished || one->reported) continue;
            one->reported = true;
            --running;
            if (!one->result) one->result = register_anew(one->socket, one->to);
            if (!one->result) co_return dialled{std::make_shared<byte_stream>(std::move(one->socket)), {}};
            failed = true;
            error_code ignored;
            one->socket.close(ignored);
            with.resolver.failed(hop.host, one->to.address());
            failures += (failures.empty() ? "" : "; ") + to_text(one->to) + ": " + one->result.message();
            // "Refused" says more than "unreachable" from an address family that is not routed here.
            if (last.is != kind::refused) last = connect_error(one->result, {});
        }
        const bool more = all->runners.size() < addresses.size();
        if (more && (failed || running == 0 || work.in().now() >= next_start)) {
            start_runner(all, work.in().executor(), tcp::endpoint(addresses[all->runners.size()], hop.port));
            ++running;
            next_start = work.in().now() + next_address_after;
            if (all->runners.back()->finished) continue; // failed at once
        } else if (running == 0) {
            break;
        }
        if (all->runners.size() < addresses.size()) {
            co_await work.wake.wait_until(work.in().timers(), next_start);
        } else {
            co_await work.wake.wait();
        }
    }
    with.resolver.all_failed(hop.host);
    last.detail = "connect to '" + hop.host + "': " + failures;
    co_return dialled{nullptr, std::move(last)};
}

// "HTTP/1.1 200 Connection established" -> 200; 0 if it is no status line. Beast's parser would refuse one that ends
// with the status.
int status_of(std::string_view head) {
    int status = 0;
    if (head.size() < 12 || !head.starts_with("HTTP/1.") || head[8] != ' ') return 0;
    const auto parsed = std::from_chars(head.data() + 9, head.data() + 12, status);
    return parsed.ec == std::errc{} && parsed.ptr == head.data() + 12 ? status : 0;
}

// The first line, for the log: the proxy is trusted to be configured, not to be printable.
std::string first_line(std::string_view head) {
    std::string line(head.substr(0, std::min<std::size_t>(head.find("\r\n"), 128)));
    std::replace_if(
        line.begin(), line.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return line;
}

task<transport_error> tunnel(opening& work, byte_stream& stream, const config::upstream& to) {
    work.at = opening::phase::tunnelling;
    const std::string target = host_and_port(to.address);
    const std::string via = "egress proxy " + host_and_port(*to.proxy);
    const std::string request = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n";
    const std::array out{boost::asio::const_buffer(boost::asio::buffer(request))};
    const auto refused = [&](error_code code, const std::string& detail) {
        return transport_error{kind::proxy_refused, "connection_refused", 502, code, via + ": " + detail};
    };

    const io_result sent = co_await await_completion<io_result>(
        [&stream, &out](completion<io_result> done) { stream.start_write(out, std::move(done)); });
    if (work.ended()) co_return work.error(to);
    if (!sent.ok()) co_return refused(sent.error, sent.error.message());

    std::string head(longest_proxy_head, '\0');
    std::size_t length = 0;
    for (;;) {
        const auto into = boost::asio::buffer(head.data() + length, head.size() - length);
        const io_result got = co_await await_completion<io_result>(
            [&stream, into](completion<io_result> done) { stream.start_read(into, std::move(done)); });
        if (work.ended()) co_return work.error(to);
        if (!got.ok()) {
            co_return refused(got.error, got.error == boost::asio::error::eof
                                             ? "closed the connection instead of answering CONNECT"
                                             : got.error.message());
        }
        length += got.bytes;
        const std::string_view seen(head.data(), length);
        const std::size_t end = seen.find("\r\n\r\n");
        if (end != std::string_view::npos) {
            const int status = status_of(seen);
            if (status / 100 != 2) co_return refused({}, "CONNECT " + target + ": " + first_line(seen));
            // Neither TLS nor HTTP lets the server speak first, so these bytes would be taken for an answer to us.
            if (end + 4 != length) co_return refused({}, "sent bytes ahead of the tunnel");
            co_return transport_error{};
        }
        if (length == head.size()) co_return refused({}, "the answer to CONNECT is longer than 8 KiB");
    }
}

task<transport_error> secure(opening& work, const dial_context& with, byte_stream& stream,
                             stream_socket::native_handle_type fd, const config::upstream& to) {
    work.at = opening::phase::securing;
    const std::string& host = to.tls.server_name.empty() ? to.address.host : to.tls.server_name;
    try {
        stream.encrypt(tls_session::client(with.tls.get(to.tls), fd, host, with.resumption));
    } catch (const std::runtime_error&) {
        // Only for settings that no start or reload has loaded. What is wrong names a file, which is no client's
        // business.
        co_return transport_error{kind::tls,
                                  "tls_certificate_error",
                                  502,
                                  {},
                                  "the files in `tls` of the upstream cannot be used; see `evenkeel check`",
                                  true};
    }
    const io_result result = co_await await_completion<io_result>(
        [&stream](completion<io_result> done) { stream.start_handshake(std::move(done)); });
    if (work.ended()) co_return work.error(to);
    if (result.ok()) co_return transport_error{};
    const tls_session::failure& why = stream.tls()->why();
    co_return transport_error{kind::tls,
                              why.token.empty() ? std::string_view("tls_protocol_error") : why.token,
                              502,
                              result.error,
                              why.detail.empty() ? result.error.message() : why.detail,
                              why.token == "tls_certificate_error"};
}
} // namespace

transport_error opening::error(const config::upstream& to) const {
    if (cancelled_) return {kind::cancelled, "", 502, boost::asio::error::operation_aborted, "cancelled"};
    const error_code code = boost::asio::error::timed_out;
    const std::string& host = to.address.host;
    switch (at) {
    case phase::waiting:
        return {kind::limit, "connection_limit_reached", 503, code,
                "all " + std::to_string(to.connections.max) + " connections to '" + host + "' stayed in use"};
    case phase::resolving:
        return {kind::connect_timeout, "dns_timeout", 504, code, "no answer from name resolution in time"};
    case phase::connecting:
        return {kind::connect_timeout, "connection_timeout", 504, code, "no connection to '" + host + "' in time"};
    case phase::tunnelling:
        return {kind::connect_timeout, "connection_timeout", 504, code, "no answer from the egress proxy in time"};
    case phase::securing: break;
    }
    return {kind::connect_timeout, "connection_timeout", 504, code, "no TLS handshake with '" + host + "' in time"};
}

task<dialled> dial(opening& work, const dial_context& with, const config::upstream& to) {
    config::url hop = to.proxy ? *to.proxy : to.address;
    if (!to.endpoint.address.empty()) hop.host = to.endpoint.address;
    dialled made = co_await connect(work, with, hop, to);
    if (!made.stream) co_return made;
    byte_stream& stream = *made.stream;
    work.guard(made.stream);
    if (to.proxy) made.error = co_await tunnel(work, stream, to);
    if (made.error.is == kind::none && to.address.tls) {
        made.error = co_await secure(work, with, stream, stream.native_handle(), to);
    }
    work.release();
    if (made.error.is != kind::none) {
        stream.close();
        made.stream.reset();
    }
    co_return made;
}

} // namespace evenkeel::net
