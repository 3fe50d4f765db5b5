#include "proxy/admin/admin_server.hpp"

#include "config/load.hpp"
#include "proxy/admin/access_rules.hpp"
#include "proxy/admin/chaos_document.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/telemetry/json_text.hpp"
#include "proxy/telemetry/request_story.hpp"
#include "proxy/telemetry/scrape_cache.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <future>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>

namespace evenkeel::admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

// One type for TCP and unix sockets.
using protocol = asio::generic::stream_protocol;
using stream_type = beast::basic_stream<protocol, net::executor>;
using acceptor_type = asio::basic_socket_acceptor<protocol, net::executor>;
using timer_type =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, net::executor>;
using request_type = http::request<http::string_body>;
using response_type = http::response<http::string_body>;
constexpr asio::as_tuple_t<asio::use_awaitable_t<net::executor>> as_values{};

steady_time now() { return std::chrono::steady_clock::now(); }

constexpr std::string_view plain_text = "text/plain; charset=utf-8";
constexpr std::string_view json_text = "application/json";
constexpr std::string_view html_text = "text/html; charset=utf-8";

constexpr std::string_view index_page = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>evenkeel</title></head><body>
<h1>evenkeel</h1>
<ul>
<li><a href="/metrics">/metrics</a>: everything counted, for Prometheus</li>
<li><a href="/health">/health</a>: the last minute of every route
(<a href="/health?strict=1">?strict=1</a>: 503 when nothing can be served)</li>
<li><a href="/livez">/livez</a>: whether the process works</li>
<li><a href="/readyz">/readyz</a>: whether it takes requests</li>
<li><a href="/-/requests">/-/requests</a>: the last requests that were disturbed, and some of the others
(?route=, upstream=, model=, outcome=, disturbed, limit=); /-/requests/ID: what happened to one, and why
(?format=text: in sentences)</li>
<li>POST /-/reload: reads the configuration again</li>
<li>POST /-/circuits/UPSTREAM?state=open|closed|auto: holds its circuits open or closed, or releases them;
with &amp;endpoint=, as /health names it, that of one endpoint</li>
<li>POST /-/rests/UPSTREAM: ends its rests after 429, 529, 401 and the like; with ?endpoint=, those of one
endpoint</li>
<li>POST /-/drain: finishes what is in flight and ends</li>
<li><a href="/-/config">/-/config</a>: the configuration in force, each value with its origin, secrets masked</li>
<li><a href="/-/log">/-/log</a>: the level of the log; POST /-/log?level=debug|info|warning|error changes it until the
next reload or restart</li>
<li><a href="/-/chaos">/-/chaos</a>: faults injected on purpose; POST sets rules, POST /-/chaos/off ends them all</li>
</ul>
</body></html>
)";

struct reply {
    int status = 200;
    std::string_view type = plain_text;
    std::string body;
    std::string_view allow{}; // for 405
};

reply sentence(int status, std::string_view text, std::string_view name = "error") {
    std::string body = "{";
    telemetry::append_quoted(body, name);
    body += ':';
    telemetry::append_quoted(body, text);
    body += "}\n";
    return {.status = status, .type = json_text, .body = std::move(body)};
}

reply told(const control_result& result) {
    reply made = sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
    made.body.resize(made.body.size() - std::string_view{"}\n"}.size());
    if (!result.diagnostics.empty()) {
        made.body += ",\"diagnostics\":";
        telemetry::append_quoted(made.body, result.diagnostics);
    }
    if (!result.restart_required.empty()) {
        made.body += ",\"restart_required\":[";
        for (const std::string& key : result.restart_required) {
            if (made.body.back() != '[') made.body += ',';
            telemetry::append_quoted(made.body, key);
        }
        made.body += ']';
    }
    made.body += "}\n";
    return made;
}

// The value of `name` in a query or a form; empty value for a bare name, nothing if it is not there. Not decoded: names
// and words here need no escapes.
std::optional<std::string_view> parameter(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const auto end = query.find('&');
        const auto part = query.substr(0, end);
        const auto equals = part.find('=');
        if (part.substr(0, equals) == name)
            return equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
        query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    }
    return std::nullopt;
}

// Without its escapes; nothing where they are none.
std::optional<std::string> decoded(std::string_view text) {
    const auto digit = [](char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
    };
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            out += text[at];
            continue;
        }
        const int high = at + 2 < text.size() ? digit(text[at + 1]) : -1;
        const int low = at + 2 < text.size() ? digit(text[at + 2]) : -1;
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        at += 2;
    }
    return out;
}

std::optional<telemetry::request_ending> ending_named(std::string_view word) {
    for (int i = 0; i < telemetry::request_ending_count; ++i) {
        const auto each = static_cast<telemetry::request_ending>(i);
        if (to_string(each) == word) return each;
    }
    return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const auto begin = text.find_first_not_of(blank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

std::vector<std::string_view> all_of(const request_type& request, http::field name) {
    std::vector<std::string_view> values;
    const auto [begin, end] = request.equal_range(name);
    for (auto at = begin; at != end; ++at) values.emplace_back(at->value().data(), at->value().size());
    return values;
}

response_type to_message(reply made, unsigned version, bool head_only, bool keep_alive) {
    response_type response{http::int_to_status(static_cast<unsigned>(made.status)), version};
    response.set(http::field::server, "evenkeel");
    response.set(http::field::content_type, beast::string_view(made.type.data(), made.type.size()));
    response.set(http::field::cache_control, "no-store");
    response.set("X-Content-Type-Options", "nosniff");
    if (made.type == html_text) {
        response.set("Content-Security-Policy",
                     "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
        response.set("Referrer-Policy", "no-referrer");
    }
    if (made.status == 401) response.set(http::field::www_authenticate, "Bearer realm=\"evenkeel\"");
    if (!made.allow.empty()) response.set(http::field::allow, beast::string_view(made.allow.data(), made.allow.size()));
    response.keep_alive(keep_alive);
    const auto length = made.body.size();
    if (!head_only) response.body() = std::move(made.body);
    response.content_length(length); // a HEAD's answer tells the length of what it leaves out
    return response;
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
    struct connection {
        explicit connection(net::executor on) : stream(on) {}
        stream_type stream;
        steady_time since = now(); // it came, or its last request was answered
        bool answering = false;
        bool ended = false; // closed by us; its coroutine has yet to notice
    };

    state(telemetry::background& on, const config::admin& options, admin_sources from, admin_callbacks calls,
          admin_limits given)
        : helper(on), sources(from), callbacks(std::move(calls)), limits(given), scrapes(from.metrics) {
        if (options.listen)
            listeners.push_back(
                std::make_unique<listening>(on.context(), *options.listen, surface::full, options.token));
        if (options.metrics_listen)
            listeners.push_back(
                std::make_unique<listening>(on.context(), *options.metrics_listen, surface::read_only, ""));
    }

    [[nodiscard]] boost::system::error_code open(listening& on);
    [[nodiscard]] std::uint16_t port_of(surface what) const noexcept;
    void close_all();
    void make_room(); // for one more connection

    [[nodiscard]] static net::task<void> accept(std::shared_ptr<state> me, listening& on);
    [[nodiscard]] static net::task<void> serve(std::shared_ptr<state> me, std::shared_ptr<connection> with,
                                               const access_rules& rules);

    [[nodiscard]] static net::task<response_type> answer(std::shared_ptr<state> me, const access_rules& rules,
                                                         const request_type& request);
    struct order {
        endpoint asked;
        std::string_view subject, query, body;
        bool change = false;
    };
    [[nodiscard]] reply perform(const access_rules& rules, const order& given);
    [[nodiscard]] reply force_circuit(const order& given);
    [[nodiscard]] reply end_rests(const order& given);
    [[nodiscard]] reply log_level(const order& given);
    [[nodiscard]] reply show_configuration() const;
    [[nodiscard]] reply list_requests(const order& given) const;
    [[nodiscard]] reply tell_request(const order& given) const;
    [[nodiscard]] reply control(std::string_view what, const std::function<control_result()>& call);
    [[nodiscard]] static net::task<reply> reload(std::shared_ptr<state> me);

    telemetry::background& helper;
    admin_sources sources;
    admin_callbacks callbacks;
    const admin_limits limits;
    telemetry::scrape_cache scrapes;

    // Helper thread, once started.
    std::vector<std::unique_ptr<listening>> listeners;
    std::set<connection*> connections;
    telemetry::line_limit evictions;
    bool stopping = false;
};

boost::system::error_code admin_server::state::open(listening& on) {
    boost::system::error_code error;
    // Plain text where TLS was asked for would be a surprise.
    if (on.on.tls) return asio::error::operation_not_supported;

    config::listener where = on.on;
    // Who may write to the socket may stop the process; what is only read may be scraped by another user of the group.
    if (where.unix && on.rules.what == surface::full) where.unix->mode = 0600;
    try {
        on.socket.emplace(std::move(net::bind_listener(where, 1).front()));
    } catch (const boost::system::system_error& failed) {
        return failed.code();
    }
    on.port = on.socket->port();
    // Asio closes what it is given, so it gets a duplicate; the original keeps the file.
    const int duplicate = ::fcntl(on.socket->native_handle(), F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) return {errno, boost::system::system_category()};
    const int family = where.unix ? AF_UNIX : where.host.find(':') != std::string::npos ? AF_INET6 : AF_INET;
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
    for (auto* each : connections) each->stream.socket().close(ignored);
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
    boost::system::error_code ignored;
    longest->stream.socket().close(ignored);
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
            response = co_await answer(me, rules, parser.get());
            with->answering = false;
            with->since = now();
            if (me->stopping || with->ended) co_return;
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

net::task<response_type> admin_server::state::answer(std::shared_ptr<state> me, const access_rules& rules,
                                                     const request_type& request) {
    const std::string_view target(request.target().data(), request.target().size());
    const std::string_view method(request.method_string().data(), request.method_string().size());
    const auto path = target.substr(0, target.find('?'));
    const auto query = path.size() < target.size() ? target.substr(path.size() + 1) : std::string_view{};

    const auto decision = decide(rules, {.method = method,
                                         .path = path,
                                         .hosts = all_of(request, http::field::host),
                                         .origins = all_of(request, http::field::origin),
                                         .authorizations = all_of(request, http::field::authorization)});
    if (decision.status != 200) {
        auto refused = sentence(decision.status, decision.explanation);
        refused.allow = decision.allow;
        co_return to_message(std::move(refused), request.version(), method == "HEAD", request.keep_alive());
    }
    if (decision.asked == endpoint::reload) {
        reply done = co_await reload(me);
        co_return to_message(std::move(done), request.version(), false, request.keep_alive());
    }
    co_return to_message(me->perform(rules, {decision.asked, decision.subject, query, request.body(), decision.change}),
                         request.version(), decision.head_only, request.keep_alive());
}

reply admin_server::state::perform(const access_rules& rules, const order& given) {
    switch (given.asked) {
    case endpoint::index: return {.type = html_text, .body = std::string(index_page)};
    case endpoint::metrics: return {.type = telemetry::metrics::content_type, .body = *scrapes.text(now())};
    case endpoint::health: {
        const auto view = sources.health.view();
        auto body = telemetry::health_json(view, rules.what == surface::full);
        body += '\n';
        return {.status = !view.healthy && telemetry::asks_strict(given.query) ? 503 : 200,
                .type = json_text,
                .body = std::move(body)};
    }
    case endpoint::livez:
        if (sources.liveness.alive(now())) return {.body = "ok\n"};
        return {.status = 503, .body = "a worker has not answered for more than 10 seconds\n"};
    case endpoint::readyz: {
        const auto why = callbacks.why_not_ready ? callbacks.why_not_ready() : std::string{};
        if (why.empty()) return {.body = "ok\n"};
        return {.status = 503, .body = "not ready: " + why + '\n'};
    }
    case endpoint::reload: // takes a while: reload()
        break;
    case endpoint::drain: return control("drain", callbacks.drain);
    case endpoint::circuit: return force_circuit(given);
    case endpoint::rest: return end_rests(given);
    case endpoint::chaos:
        if (given.change)
            return control("chaos", callbacks.set_chaos ? [&] { return callbacks.set_chaos(given.body); }
                                                        : std::function<control_result()>{});
        if (!callbacks.chaos_rules) return sentence(501, "This process cannot do that.");
        return {.type = json_text, .body = chaos_document(callbacks.chaos_rules())};
    case endpoint::requests: return list_requests(given);
    case endpoint::request: return tell_request(given);
    case endpoint::log: return log_level(given);
    case endpoint::configuration: return show_configuration();
    case endpoint::chaos_off: return control("chaos off", callbacks.chaos_off);
    }
    return sentence(404, "There is no such endpoint here.");
}

reply admin_server::state::log_level(const order& given) {
    auto& log = sources.log;
    if (!given.change) return sentence(200, telemetry::to_string(log.level()), "level");
    const auto body = trimmed(given.body);
    const auto in_query = parameter(given.query, "level");
    const auto word = in_query ? in_query : parameter(body, "level");
    const auto wanted = telemetry::log_level_named(word.value_or(body));
    if (!wanted) return sentence(400, "Say level=debug, level=info, level=warning or level=error.");
    // Told at the more talkative of the two.
    const bool more = *wanted < log.level();
    if (more) log.set_level(*wanted);
    log.info("asked for over the admin listener", {{"action", "log"}, {"level", telemetry::to_string(*wanted)}});
    if (!more) log.set_level(*wanted);
    return sentence(
        200, "the log is at level " + std::string{telemetry::to_string(*wanted)} + " until the next reload or restart",
        "message");
}

reply admin_server::state::show_configuration() const {
    const config::snapshot now_in_force = callbacks.configuration ? callbacks.configuration() : nullptr;
    if (now_in_force == nullptr || now_in_force->shown == nullptr) return sentence(501, "This process cannot do that.");
    return {.body = config::heading(*now_in_force) + *now_in_force->shown};
}

reply admin_server::state::list_requests(const order& given) const {
    if (sources.journal == nullptr) return sentence(501, "This process cannot do that.");
    constexpr std::size_t most = 1000;
    bool readable = true;
    const auto asked = [&](std::string_view name) {
        auto text = decoded(parameter(given.query, name).value_or(""));
        readable = readable && text.has_value();
        return std::move(text).value_or("");
    };
    const std::string route = asked("route"), upstream = asked("upstream"), model = asked("model");
    telemetry::journal_store::wanted which{.route = route, .upstream = upstream, .model = model};
    if (const std::string word = asked("outcome"); !word.empty()) {
        which.outcome = ending_named(word);
        if (!which.outcome) return sentence(400, "There is no such outcome; see evenkeel_requests_total in README.md.");
    }
    which.disturbed_only = parameter(given.query, "disturbed").has_value();
    const std::string limit = asked("limit");
    if (!readable) return sentence(400, "A percent sign begins an escape of two hexadecimal digits.");
    if (!limit.empty()) {
        const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), which.limit);
        if (error != std::errc{} || end != limit.data() + limit.size() || which.limit == 0 || which.limit > most)
            return sentence(400, "limit is a number from 1 to 1000.");
    }
    const auto kept = sources.journal->summary();
    std::string body = "{\"kept\":" + std::to_string(kept.requests) + ",\"bytes\":" + std::to_string(kept.bytes) +
                       ",\"evicted\":" + std::to_string(kept.evicted) + ",\"requests\":[";
    for (const auto& each : sources.journal->list(which)) {
        if (body.back() != '[') body += ",\n";
        body += telemetry::summary_json(*each);
    }
    body += "]}\n";
    return {.type = json_text, .body = std::move(body)};
}

reply admin_server::state::tell_request(const order& given) const {
    if (sources.journal == nullptr) return sentence(501, "This process cannot do that.");
    const auto id = decoded(given.subject);
    if (!id || id->empty()) return sentence(400, "That is no id of a request.");
    const auto found = sources.journal->find(*id);
    if (found.empty())
        return sentence(404, "Nothing is kept of a request with this id: it is too long ago, one of many that went "
                             "well, another process served it, or `journal` is off.");
    const bool text = parameter(given.query, "format") == "text";
    std::string body = text ? "" : "{\"requests\":[";
    for (const auto& each : found) {
        if (each != found.front()) body += text ? "\n" : ",\n";
        body += text ? telemetry::story_text(*each) : telemetry::story_json(*each);
    }
    if (!text) body += "]}\n";
    return {.type = text ? plain_text : json_text, .body = std::move(body)};
}

reply admin_server::state::control(std::string_view what, const std::function<control_result()>& call) {
    if (!call) return sentence(501, "This process cannot do that.");
    sources.log.info("asked for over the admin listener", {{"action", what}});
    return told(call());
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

reply admin_server::state::force_circuit(const order& given) {
    const auto body = trimmed(given.body);
    const auto asked = [&](std::string_view name) {
        const auto in_query = parameter(given.query, name);
        return in_query ? in_query : parameter(body, name);
    };
    const auto word = asked("state").value_or(body);
    circuit_order wanted{.upstream = std::string(given.subject),
                         .route = std::string(asked("route").value_or("")),
                         .state = {},
                         .endpoint = std::string(asked("endpoint").value_or(""))};
    if (word == "open")
        wanted.state = circuit_state::open;
    else if (word == "closed")
        wanted.state = circuit_state::closed;
    else if (word != "auto")
        return sentence(400, "Say state=open, state=closed or state=auto.");
    if (!callbacks.force_circuit) return sentence(501, "This process cannot do that.");
    sources.log.info(
        "asked for over the admin listener",
        {{"action", "circuit"},
         {"upstream", wanted.upstream},
         {"route", wanted.route},
         wanted.endpoint.empty() ? telemetry::log_field{} : telemetry::log_field{"endpoint", wanted.endpoint},
         {"state", word}});
    const auto result = callbacks.force_circuit(wanted);
    return sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
}

reply admin_server::state::end_rests(const order& given) {
    const auto in_query = parameter(given.query, "endpoint");
    const auto endpoint = in_query ? in_query : parameter(trimmed(given.body), "endpoint");
    const rest_order wanted{.upstream = std::string(given.subject), .endpoint = std::string(endpoint.value_or(""))};
    if (!callbacks.end_rests) return sentence(501, "This process cannot do that.");
    sources.log.info(
        "asked for over the admin listener",
        {{"action", "end rests"},
         {"upstream", wanted.upstream},
         wanted.endpoint.empty() ? telemetry::log_field{} : telemetry::log_field{"endpoint", wanted.endpoint}});
    const auto result = callbacks.end_rests(wanted);
    return sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
}

admin_server::admin_server(telemetry::background& on, const config::admin& options, admin_sources sources,
                           admin_callbacks callbacks, admin_limits limits)
    : state_(std::make_shared<state>(on, options, sources, std::move(callbacks), limits)) {}

admin_server::~admin_server() { stop(); }

std::optional<admin_server::listen_failure> admin_server::start() {
    for (const auto& on : state_->listeners) {
        if (const auto error = state_->open(*on)) {
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

std::uint16_t admin_server::port() const noexcept { return state_->port_of(surface::full); }
std::uint16_t admin_server::metrics_port() const noexcept { return state_->port_of(surface::read_only); }

} // namespace evenkeel::admin
