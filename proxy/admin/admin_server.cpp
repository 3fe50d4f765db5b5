#include "proxy/admin/admin_server.hpp"

#include "proxy/admin/access_rules.hpp"
#include "proxy/admin/connection.hpp"
#include "proxy/admin/live.hpp"
#include "proxy/admin/page.hpp"
#include "proxy/admin/query.hpp"
#include "proxy/admin/reply.hpp"
#include "proxy/admin/resources.hpp"
#include "proxy/admin/sessions.hpp"
#include "proxy/net/given_sockets.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/listener.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <future>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>

namespace evenkeel::admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

using acceptor_type = asio::basic_socket_acceptor<protocol, net::executor>;
using request_type = http::request<http::string_body>;
using response_type = http::response<http::string_body>;

template <class Name>
std::vector<std::string_view> all_of(const request_type& request, Name name) {
    std::vector<std::string_view> values;
    const auto [begin, end] = request.equal_range(name);
    for (auto at = begin; at != end; ++at) values.emplace_back(at->value().data(), at->value().size());
    return values;
}

std::string_view text_of(const request_type& request, http::field name) {
    const auto value = request[name];
    return {value.data(), value.size()};
}

void put(response_type& into, http::field name, std::string_view value) {
    into.set(name, beast::string_view(value.data(), value.size()));
}

response_type to_message(reply made, unsigned version, bool head_only, bool keep_alive) {
    response_type response{http::int_to_status(static_cast<unsigned>(made.status)), version};
    response.set(http::field::server, "evenkeel");
    put(response, http::field::content_type, made.type);
    response.set(http::field::cache_control, "no-store");
    response.set("X-Content-Type-Options", "nosniff");
    response.set("Cross-Origin-Resource-Policy", "same-origin");
    const std::string_view policy = made.policy.empty() ? "default-src 'none'; frame-ancestors 'none'" : made.policy;
    response.set("Content-Security-Policy", beast::string_view(policy.data(), policy.size()));
    // A form that is posted without one would come from the origin `null`.
    response.set("Referrer-Policy", "same-origin");
    if (made.type == html_text) response.set(http::field::vary, "Accept");
    if (made.status == 401) response.set(http::field::www_authenticate, "Bearer realm=\"evenkeel\"");
    if (!made.allow.empty()) put(response, http::field::allow, made.allow);
    if (!made.location.empty()) put(response, http::field::location, made.location);
    if (!made.cookie.empty()) put(response, http::field::set_cookie, made.cookie);
    if (made.retry_after > 0) response.set(http::field::retry_after, std::to_string(made.retry_after));
    response.keep_alive(keep_alive);
    const auto length = made.body.size();
    if (!head_only) response.body() = std::move(made.body);
    response.content_length(length); // a HEAD's answer tells the length of what it leaves out
    return response;
}

// Cookies are of a host whatever its port, and several of us may be behind one.
std::string cookie_name(const request_type& request) {
    const std::string_view host = text_of(request, http::field::host);
    const auto colon = host.find_last_of(":]");
    std::string name = "evenkeel";
    if (colon == std::string_view::npos || host[colon] == ']') return name;
    name += '_';
    for (const char c : host.substr(colon + 1))
        if (c >= '0' && c <= '9') name += c;
    return name;
}

// The first that is known: whoever else is at this host, at another port, can leave a cookie of this name.
std::string_view session_of(const request_type& request, const sessions& known) {
    const std::string name = cookie_name(request);
    for (std::string_view cookies : all_of(request, http::field::cookie)) {
        while (!cookies.empty()) {
            const auto end = cookies.find(';');
            const std::string_view one = trimmed(cookies.substr(0, end));
            cookies = end == std::string_view::npos ? std::string_view{} : cookies.substr(end + 1);
            if (!one.starts_with(name) || !one.substr(name.size()).starts_with('=')) continue;
            const std::string_view session = one.substr(name.size() + 1);
            if (known.knows(session, now())) return session;
        }
    }
    return {};
}

bool wants_page(const request_type& request) {
    const auto accepts = all_of(request, http::field::accept);
    return std::any_of(accepts.begin(), accepts.end(),
                       [](std::string_view one) { return one.find("text/html") != std::string_view::npos; });
}

reply page_reply(const page& shown, int status = 200) {
    return {.status = status, .type = html_text, .body = shown.text, .policy = shown.policy};
}

std::string show(const config::listener& on) {
    if (on.unix) return "unix:" + on.unix->path;
    const bool v6 = on.host.find(':') != std::string::npos;
    return (v6 ? '[' + on.host + ']' : on.host) + ':' + std::to_string(on.port);
}

} // namespace

struct admin_server::state : std::enable_shared_from_this<admin_server::state> {
    struct listening {
        listening(asio::io_context& context, config::listener where, surface what, const std::string& token)
            : on(std::move(where)), rules(rules_for(on, what, token)), acceptor(context.get_executor()),
              pause(context.get_executor()) {}
        config::listener on;
        access_rules rules;
        acceptor_type acceptor;
        timer_type pause;
        std::optional<net::bound_socket> socket; // and its file
        std::uint16_t port = 0;
    };
    state(telemetry::background& on, const config::admin& options, admin_sources from, admin_callbacks calls,
          admin_limits given)
        : helper(on), sources(from), callbacks(std::move(calls)), limits(given), logged_in(options.token),
          feed({.overview = [this] { return all.overview(); },
                .requests = [this] { return all.latest_requests(); },
                .requests_kept = [this] { return all.requests_kept(); }},
               given.live_interval) {
        if (options.listen)
            listeners.push_back(
                std::make_unique<listening>(on.context(), *options.listen, surface::full, options.token));
        if (options.metrics_listen)
            listeners.push_back(
                std::make_unique<listening>(on.context(), *options.metrics_listen, surface::read_only, ""));
    }

    [[nodiscard]] boost::system::error_code open(listening& on, net::given_sockets& given);
    [[nodiscard]] std::uint16_t port_of(surface what) const noexcept;
    void close_all();
    void make_room(); // for one more connection

    [[nodiscard]] static net::task<void> accept(std::shared_ptr<state> me, listening& on);
    [[nodiscard]] static net::task<void> serve(std::shared_ptr<state> me, std::shared_ptr<connection> with,
                                               const access_rules& rules);

    struct answered {
        response_type response;
        bool live = false;     // events follow
        std::string session{}; // ... for as long as it lasts; empty: none is needed
    };
    [[nodiscard]] static net::task<answered> answer(std::shared_ptr<state> me, const access_rules& rules,
                                                    const request_type& request);
    [[nodiscard]] static net::task<void> send_live(std::shared_ptr<state> me, std::shared_ptr<connection> with,
                                                   answered begun);
    [[nodiscard]] reply refusal(const access_decision& decision, std::string_view path, const request_type& request);
    [[nodiscard]] reply log_in(const access_rules& rules, const request_type& request);
    [[nodiscard]] reply log_out(const request_type& request);
    [[nodiscard]] static net::task<reply> reload(std::shared_ptr<state> me);

    telemetry::background& helper;
    admin_sources sources;
    admin_callbacks callbacks;
    const admin_limits limits;

    // Helper thread, once started.
    resources all{sources, callbacks};
    sessions logged_in;
    live_feed feed;
    std::vector<std::unique_ptr<listening>> listeners;
    std::set<connection*> connections;
    telemetry::line_limit evictions, wrong_tokens;
    bool stopping = false;
};

boost::system::error_code admin_server::state::open(listening& on, net::given_sockets& given) {
    boost::system::error_code error;
    // Plain text where TLS was asked for would be a surprise.
    if (on.on.tls) return asio::error::operation_not_supported;

    config::listener where = on.on;
    // Who may write to the socket may stop the process; what is only read may be scraped by another user of the group.
    if (where.unix && on.rules.what == surface::full) where.unix->mode = 0600;
    try {
        const auto use = on.rules.what == surface::full ? net::socket_use::admin : net::socket_use::metrics;
        on.socket.emplace(std::move(net::take_or_bind(given, where, use, 1).front()));
    } catch (const boost::system::system_error& failed) {
        return failed.code();
    }
    on.port = on.socket->port();
    // Asio closes what it is given, so it gets a duplicate; the original keeps the file.
    const int duplicate = ::fcntl(on.socket->native_handle(), F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return {errno, boost::system::system_category()};
    sockaddr_storage bound{}; // a given socket for all addresses may be of either family
    socklen_t size = sizeof bound;
    ::getsockname(duplicate, reinterpret_cast<sockaddr*>(&bound), &size);
    const int family = bound.ss_family;
    on.acceptor.assign(protocol(family, 0), duplicate, error);
    return error;
}

std::uint16_t admin_server::state::port_of(surface what) const noexcept {
    for (const auto& on : listeners)
        if (on->rules.what == what) return on->port;
    return 0;
}

void admin_server::state::close_all() {
    stopping = true;
    boost::system::error_code ignored;
    for (const auto& on : listeners) {
        on->acceptor.close(ignored);
        on->socket.reset();
        on->pause.cancel();
    }
    for (auto* each : connections) each->close();
}

void admin_server::state::make_room() {
    const auto live = static_cast<std::size_t>(
        std::count_if(connections.begin(), connections.end(), [](const connection* one) { return !one->ended; }));
    if (live < limits.max_connections) return;
    // Bytes of a head are no sign of life: a client that drips would keep its place for ever. One whose answer is being
    // made is the last to go.
    connection* longest = nullptr;
    for (connection* const one : connections) {
        if (one->ended) continue;
        if (longest == nullptr || std::pair(one->answering, one->since) < std::pair(longest->answering, longest->since))
            longest = one;
    }
    if (longest == nullptr) return;
    longest->ended = true;
    longest->close();
    if (evictions.allow(wall_time{std::chrono::system_clock::now()}))
        sources.log.warning("the admin listeners are full: the connection silent longest was closed for another",
                            {{"limit", std::to_string(limits.max_connections)}});
}

net::task<void> admin_server::state::accept(std::shared_ptr<state> me, listening& on) {
    while (!me->stopping) {
        auto next = std::make_shared<connection>(me->helper.context().get_executor());
        const auto [error] = co_await on.acceptor.async_accept(next->stream.socket(), as_values);
        if (me->stopping) co_return;
        if (error) {
            // Out of descriptors, or the client left already: neither is a reason to spin or to end.
            on.pause.expires_after(std::chrono::milliseconds{100});
            static_cast<void>(co_await on.pause.async_wait(as_values));
            continue;
        }
        me->make_room();
        me->connections.insert(next.get());
        asio::co_spawn(me->helper.context(), serve(me, next, on.rules), [me, next](std::exception_ptr failed) {
            me->connections.erase(next.get());
            if (failed) std::rethrow_exception(failed);
        });
    }
}

net::task<void> admin_server::state::serve(std::shared_ptr<state> me, std::shared_ptr<connection> with,
                                           const access_rules& rules) {
    auto& stream = with->stream;
    beast::flat_buffer buffer(me->limits.max_header_bytes + 4096);
    for (bool first = true;; first = false) {
        // Waiting for a request is one thing, waiting for the rest of it another.
        if (buffer.size() == 0) {
            stream.expires_after(first ? me->limits.request_timeout : me->limits.idle_timeout);
            const auto [error, bytes] = co_await stream.async_read_some(buffer.prepare(4096), as_values);
            if (error || me->stopping || with->ended) co_return;
            buffer.commit(bytes);
        }
        stream.expires_after(me->limits.request_timeout);
        http::request_parser<http::string_body> parser;
        parser.header_limit(me->limits.max_header_bytes);
        parser.body_limit(me->limits.max_body_bytes);
        const auto [failed, read] = co_await http::async_read(stream, buffer, parser, as_values);
        static_cast<void>(read);
        if (me->stopping || with->ended) co_return;

        response_type response;
        if (!failed) {
            with->answering = true;
            answered made = co_await answer(me, rules, parser.get());
            if (me->stopping || with->ended) co_return;
            if (made.live) {
                co_await send_live(me, with, std::move(made));
                co_return;
            }
            response = std::move(made.response);
            with->answering = false;
            with->since = now();
        } else {
            // What is not HTTP gets an answer; who left or fell asleep does not.
            if (failed.category() != make_error_code(http::error::end_of_stream).category() ||
                failed == http::error::end_of_stream || failed == http::error::partial_message)
                co_return;
            const int status = failed == http::error::header_limit || failed == http::error::buffer_overflow ? 431
                               : failed == http::error::body_limit                                           ? 413
                                                                                                             : 400;
            response =
                to_message(sentence(status, "This is not a request that can be answered here."), 11, false, false);
        }
        stream.expires_after(me->limits.write_timeout);
        const auto [broken, written] = co_await http::async_write(stream, response, as_values);
        static_cast<void>(written);
        if (broken || me->stopping || with->ended) co_return;
        if (failed || response.need_eof()) break;
    }
    // Closing with unread bytes would reset the connection and with it an answer that is still on its way.
    boost::system::error_code ignored;
    stream.socket().shutdown(protocol::socket::shutdown_send, ignored);
    stream.expires_after(std::chrono::seconds{1});
    for (std::size_t drained = 0; drained < me->limits.max_body_bytes;) {
        buffer.clear();
        const auto [error, bytes] = co_await stream.async_read_some(buffer.prepare(4096), as_values);
        if (error || me->stopping || with->ended) co_return;
        drained += bytes;
    }
}

net::task<admin_server::state::answered> admin_server::state::answer(std::shared_ptr<state> me,
                                                                     const access_rules& rules,
                                                                     const request_type& request) {
    const std::string_view target(request.target().data(), request.target().size());
    const std::string_view method(request.method_string().data(), request.method_string().size());
    const auto path = target.substr(0, target.find('?'));
    const auto query = path.size() < target.size() ? target.substr(path.size() + 1) : std::string_view{};
    const std::string_view session = session_of(request, me->logged_in);

    const auto decision = decide(rules, {.method = method,
                                         .path = path,
                                         .hosts = all_of(request, http::field::host),
                                         .origins = all_of(request, http::field::origin),
                                         .authorizations = all_of(request, http::field::authorization),
                                         .fetch_sites = all_of(request, "Sec-Fetch-Site"),
                                         .has_session = !session.empty()});
    const auto finished = [&](reply made) {
        return answered{to_message(std::move(made), request.version(), method == "HEAD", request.keep_alive())};
    };
    if (decision.status != 200) co_return finished(me->refusal(decision, path, request));
    switch (decision.asked) {
    case endpoint::index:
        if (!wants_page(request)) break;
        co_return finished(page_reply(dashboard(!rules.token.empty())));
    case endpoint::login: co_return finished(me->log_in(rules, request));
    case endpoint::logout: co_return finished(me->log_out(request));
    case endpoint::live: {
        reply events{.type = event_text};
        if (decision.head_only) co_return finished(std::move(events));
        if (me->feed.listeners >= me->limits.max_listeners) {
            auto refused = sentence(503, "As many listen as may; /-/overview tells the same.");
            refused.retry_after = 5;
            co_return finished(std::move(refused));
        }
        answered begun = finished(std::move(events));
        begun.response.erase(http::field::content_length);
        begun.response.keep_alive(false);
        begun.live = true;
        if (!rules.token.empty() && request.find(http::field::authorization) == request.end()) begun.session = session;
        co_return begun;
    }
    case endpoint::reload: {
        reply done = co_await reload(me);
        co_return finished(std::move(done));
    }
    default: break;
    }
    const order given{decision.asked, decision.subject, query, request.body(), decision.change};
    co_return finished(me->all.perform(rules, given));
}

// A browser that may not look is asked for the token.
reply admin_server::state::refusal(const access_decision& decision, std::string_view path,
                                   const request_type& request) {
    if (decision.status == 401 && path == "/" && wants_page(request))
        return page_reply(login_form(login_word::none), 401);
    auto refused = sentence(decision.status, decision.explanation);
    refused.allow = decision.allow;
    return refused;
}

reply admin_server::state::log_in(const access_rules& rules, const request_type& request) {
    reply done{.status = 303, .location = "/"};
    if (rules.token.empty()) return done;
    auto token = decoded_form(parameter(request.body(), "token").value_or(""));
    const sessions::attempt tried = logged_in.log_in(token.value_or(""), now());
    if (!tried.session.empty()) {
        sources.log.info("somebody has logged in over the admin listener");
        done.cookie = cookie_name(request) + '=' + tried.session + "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" +
                      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(sessions::lifetime).count());
        return done;
    }
    if (wrong_tokens.allow(wall_time{std::chrono::system_clock::now()}))
        sources.log.warning("a wrong token was tried over the admin listener");
    if (tried.wait > duration::zero()) {
        const int seconds = static_cast<int>(std::chrono::ceil<std::chrono::seconds>(tried.wait).count());
        auto refused = wants_page(request) ? page_reply(login_form(login_word::wait), 429)
                                           : sentence(429, "Too many wrong tokens: wait a little.");
        refused.retry_after = seconds;
        return refused;
    }
    return wants_page(request) ? page_reply(login_form(login_word::wrong), 401)
                               : sentence(401, "That is not the token.");
}

reply admin_server::state::log_out(const request_type& request) {
    logged_in.log_out(session_of(request, logged_in));
    return {.status = 303,
            .location = "/",
            .cookie = cookie_name(request) + "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"};
}

net::task<void> admin_server::state::send_live(std::shared_ptr<state> me, std::shared_ptr<connection> with,
                                               answered begun) {
    struct place {
        explicit place(live_feed& of) : feed(of) { ++feed.listeners; }
        ~place() { --feed.listeners; }
        place(const place&) = delete;
        place& operator=(const place&) = delete;
        live_feed& feed;
    };
    const place taken(me->feed);
    http::response_serializer<http::string_body> head(begun.response);
    with->stream.expires_after(me->limits.write_timeout);
    const auto [broken, written] = co_await http::async_write_header(with->stream, head, as_values);
    static_cast<void>(written);
    if (broken || me->stopping || with->ended) co_return;
    const auto goes_on = [&] {
        return !me->stopping && !with->ended && (begun.session.empty() || me->logged_in.knows(begun.session, now()));
    };
    live_terms terms{.write_timeout = me->limits.write_timeout, .goes_on = goes_on};
    co_await send_events(me->feed, *with, std::move(terms));
}

net::task<reply> admin_server::state::reload(std::shared_ptr<state> me) {
    if (!me->callbacks.reload) co_return sentence(501, "This process cannot do that.");
    me->sources.log.info("asked for over the admin listener", {{"action", "reload"}});
    struct pending {
        explicit pending(net::executor on) : told(on) {}
        timer_type told; // never fires; cancelled when the result is here
        std::optional<control_result> result;
    };
    auto waits = std::make_shared<pending>(me->helper.context().get_executor());
    waits->told.expires_at(timer_type::time_point::max());
    me->callbacks.reload([waits](control_result made) {
        asio::post(waits->told.get_executor(), [waits, made = std::move(made)]() mutable {
            waits->result = std::move(made);
            waits->told.cancel();
        });
    });
    while (!waits->result) static_cast<void>(co_await waits->told.async_wait(as_values));
    co_return told(*waits->result);
}

admin_server::admin_server(telemetry::background& on, const config::admin& options, admin_sources sources,
                           admin_callbacks callbacks, admin_limits limits)
    : state_(std::make_shared<state>(on, options, sources, std::move(callbacks), limits)) {}

admin_server::~admin_server() { stop(); }

std::optional<admin_server::listen_failure> admin_server::start() {
    net::given_sockets none;
    return start(none);
}

std::optional<admin_server::listen_failure> admin_server::start(net::given_sockets& given) {
    for (const auto& on : state_->listeners) {
        if (const auto error = state_->open(*on, given)) {
            listen_failure failure{error, show(on->on)};
            state_->close_all();
            return failure;
        }
    }
    for (const auto& on : state_->listeners)
        asio::co_spawn(state_->helper.context(), state::accept(state_, *on), [](std::exception_ptr failed) {
            if (failed) std::rethrow_exception(failed);
        });
    return std::nullopt;
}

void admin_server::stop() {
    // The helper's thread owns the sockets; once it has ended, nobody else touches them.
    if (state_->helper.context().stopped()) {
        state_->close_all();
        return;
    }
    std::promise<void> closed;
    asio::post(state_->helper.context(), [&] {
        state_->close_all();
        closed.set_value();
    });
    closed.get_future().wait();
}

std::vector<std::pair<const net::bound_socket*, std::string>> admin_server::sockets() const {
    std::vector<std::pair<const net::bound_socket*, std::string>> out;
    for (const auto& on : state_->listeners)
        if (on->socket) out.emplace_back(&*on->socket, on->rules.what == surface::full ? "admin" : "metrics");
    return out;
}

std::uint16_t admin_server::port() const noexcept { return state_->port_of(surface::full); }
std::uint16_t admin_server::metrics_port() const noexcept { return state_->port_of(surface::read_only); }

} // namespace evenkeel::admin
