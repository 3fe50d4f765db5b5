#include "tests/proxy/request/upload_case.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace evenkeel::test {

namespace {
constexpr std::size_t kib = 1024;
constexpr duration for_ever = std::chrono::hours{1000};

// Where two texts part, and what each of them says there.
std::string difference(std::string_view is, std::string_view should_be) {
    const auto at = static_cast<std::size_t>(
        std::mismatch(is.begin(), is.end(), should_be.begin(), should_be.end()).first - is.begin());
    const auto shown = [&](std::string_view text) {
        std::string out{text.substr(std::min(at, text.size()), 40)};
        for (char& c : out)
            if (c < ' ' || c > '~') c = '?';
        return "'" + out + "'";
    };
    return "from byte " + std::to_string(at) + " on it is " + shown(is) + " instead of " + shown(should_be);
}
} // namespace

// A request of one client.
struct upload_case::asked {
    std::string tag; // whose body it has
    bool chunked = false, expects = false, stream = false, repeatable = true, one_time = false;
    bool begun = false;
};

struct upload_case::visitor {
    explicit visitor(net::loop& loop) : client(loop), stir(loop.executor()) {}
    scripted_client client;
    net::event stir; // something came, or all is over
    message_reading answers;
    std::size_t seen = 0; // bytes of what was received that `answers` has
    std::vector<asked> requests;
    bool left = false, half_closed = false, pipelines = false, sent_all = false;
    int gives_up_after = 0; // pieces; > 0: and then sends nothing more
};

// What one exchange is to say.
struct upload_case::planned {
    std::string text; // of the body, decoded, as far as it is to go
    int status = 0;
};

upload_case::upload_case(std::uint32_t seed)
    : random_(seed), seed_(seed), turns_(seed, std::array{0U, 2U, 4U, 12U}[seed % 4]) {
    configure();
    f_.upstream.shuffle(turns_);
    f_.upstream.choose([this](const config::upstream&, std::size_t place) { return draw_script(place); });
    f_.services.chance.seed(seed);
    f_.services.flights = &flights_;
    f_.context.use(f_.settings, f_.registry.prepare(*f_.settings));
    draw_visitors();
}

upload_case::~upload_case() = default;

duration upload_case::grid() {
    static constexpr int steps[] = {0, 0, 0, 1, 1, 2, 5, 5, 10, 10, 20, 40};
    return std::chrono::milliseconds{steps[below(std::size(steps))]};
}

// Around what the proxy reads at a time, reads ahead, sends with the head, and holds.
std::size_t upload_case::size() {
    static constexpr std::array<std::size_t, 8> edges{0, 1, 100, 16 * kib, 32 * kib, 64 * kib, 80 * kib, 128 * kib};
    switch (below(6)) {
    case 0:
    case 1: {
        const std::size_t edge = edges[below(edges.size())];
        return edge + below(3) - (edge > 0 ? 1 : 0);
    }
    case 2: return below(64 * kib);
    case 3:
    case 4: return 64 * kib + below(128 * kib);
    default: return 64 * kib + below(400 * kib);
    }
}

void upload_case::draw_route(config::route& route) {
    route.retry.max_retries = static_cast<int>(below(4));
    route.retry.backoff = {
        .initial = one_in(3) ? 0ms : 2ms, .max = 10ms, .base = 2, .jitter = one_in(2) ? jitter::none : jitter::full};
    route.retry.budget.burst = 1000;
    route.retry.max_retry_after = 100ms;
    static constexpr std::array<std::uint64_t, 8> held{1000,      16 * kib,   64 * kib,   100 * kib,
                                                       300 * kib, 1024 * kib, 1024 * kib, 32 * 1024 * kib};
    route.retry.replay_buffer = held[below(held.size())];
    route.hedge.on = !one_in(3);
    route.hedge.delay = hedge_options::delay_kind::fixed;
    route.hedge.fixed = std::max<duration>(grid(), 1ms);
    route.hedge.min_delay = 1ms;
    route.hedge.max_hedges = 1 + static_cast<int>(below(2));
    route.hedge.guard = 0;
    route.hedge.target = static_cast<hedge_target>(below(3));
    route.timeout.total = std::chrono::milliseconds{one_in(4) ? 150 : 1000};
    route.timeout.connect = 100ms;
    route.timeout.stream_idle = 50ms;
    route.timeout.attempt = one_in(8) ? std::optional<duration>{30ms} : std::nullopt;
    route.balance = static_cast<balance_kind>(below(3));
    route.circuit_breaker.on = one_in(4);
    route.circuit_breaker.recovery_timeout = 20ms;
    route.circuit_breaker.when_open = one_in(3) ? when_open::reject : when_open::hold;
    route.cooldown = {.on = one_in(4), .initial = 10ms, .max = 50ms, .overload = 20ms, .quota = 100ms};
    if (how_ == arrangement::queued) {
        route.bulkhead = {
            .on = true, .max_concurrent = 1 + static_cast<int>(below(2)), .max_queue = 8, .queue_timeout = 200ms};
    }
    if (how_ == arrangement::shared) route.coalesce = coalesce_mode::always;
}

void upload_case::configure() {
    static constexpr std::array all{arrangement::plain,   arrangement::plain,  arrangement::plain,
                                    arrangement::plain,   arrangement::ladder, arrangement::shared,
                                    arrangement::fan_out, arrangement::queued};
    how_ = all[below(all.size())];
    auto& route = *f_.route;
    for (auto n = below(3); n > 0; --n) {
        auto more = std::make_shared<config::upstream>();
        more->name = "backup" + std::to_string(n);
        more->address.authority = more->name + ".example";
        route.upstreams.push_back(more);
        f_.settings->upstreams.push_back(more);
    }
    if (one_in(3)) {
        f_.provider->models = {{"m", "a-longer-name"}};
        for (const auto& one : f_.settings->upstreams) {
            if (one != f_.provider && one_in(2)) std::const_pointer_cast<config::upstream>(one)->models = {{"m", "n"}};
        }
    }
    draw_route(route);
    if (how_ == arrangement::ladder) {
        auto cheap = std::make_shared<config::route>(route);
        cheap->name = "cheap";
        cheap->match = {};
        cheap->match.path = "/nobody";
        f_.settings->routes.push_back(cheap);
        route.fallback = {{.is = fallback_kind::route, .route = 1}};
        if (one_in(2)) {
            route.fallback.push_back({});
            route.fallback.back().respond = {503, "application/json",
                                             std::make_shared<const std::string>("{\"canned\":1}")};
        }
    }
    if (how_ == arrangement::fan_out) {
        auto both = std::make_shared<config::route>();
        both->name = "both";
        both->match.path = "/v1/both";
        both->serves = config::route_serves::fan_out;
        both->timeout.total = route.timeout.total;
        both->retry.replay_buffer = 1024 * kib;
        for (const char* const name : {"one", "two"}) {
            auto part = std::make_shared<config::route>(route);
            part->name = name;
            part->match = {};
            part->match.path = std::string{"/v1/"} + name + "/chat/completions";
            f_.settings->routes.insert(f_.settings->routes.begin(), part);
            both->fan_out.parts.push_back(name);
        }
        f_.settings->routes.insert(f_.settings->routes.begin(), both);
    }
    f_.settings->replay_buffer = route.retry.replay_buffer;
    auto& limits = f_.settings->limits;
    limits.idle_timeout = 1h;
    limits.body_timeout = std::chrono::milliseconds{one_in(6) ? 60 : 500};
    if (one_in(16)) limits.max_body = 100 * kib;
    static constexpr std::array<std::uint64_t, 5> memory{0, 40 * kib, 100 * kib, 300 * kib, 700 * kib};
    if (one_in(3)) f_.memory.set_limit(memory[below(memory.size())]);
}

// In mid-request: those under way go on under what they began with.
void upload_case::reload() {
    auto next = std::make_shared<config::settings>(*f_.settings);
    for (auto& one : next->routes) {
        if (one->serves == config::route_serves::fan_out) continue;
        auto other = std::make_shared<config::route>(*one);
        draw_route(*other);
        one = other;
    }
    f_.settings = next;
    f_.context.use(f_.settings, f_.registry.prepare(*f_.settings));
    ++reloads_;
}

std::string upload_case::body_of(const std::string& tag, std::size_t size, bool stream) {
    std::string out = "{\"stream\":" + std::string{stream ? "true" : "false"} + ",\"model\":\"m\",\"text\":\"";
    constexpr std::string_view end = "\"}";
    const bool json = size >= out.size() + end.size();
    if (!json) out.clear();
    static constexpr char digits[] = "0123456789abcdef";
    out.reserve(size + 32);
    while (out.size() < size) {
        const std::size_t at = out.size();
        out += tag;
        for (unsigned shift = 24; shift > 0; shift -= 4) out += digits[at >> (shift - 4) & 15U];
        out += ' ';
    }
    out.resize(size);
    if (json) out.replace(size - end.size(), end.size(), end);
    return out;
}

// What goes out to this upstream in place of a client's body.
std::string upload_case::as_sent_to(std::string_view upstream, const std::string& body) const {
    static constexpr std::string_view model = "\"model\":\"m\"";
    const auto& all = f_.settings->upstreams;
    const auto to = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one->name == upstream; });
    const auto at = body.find(model);
    if (to == all.end() || (*to)->models.empty() || at == std::string::npos) return body;
    return std::string{body}.replace(at, model.size(), "\"model\":\"" + (*to)->models.at("m") + "\"");
}

void upload_case::draw_visitors() {
    const std::uint32_t count = 1 + below(4);
    std::string last_tag;
    for (std::uint32_t i = 0; i < count; ++i) {
        visitor& one = *visitors_.emplace_back(std::make_unique<visitor>(f_.loop));
        one.client.shuffle({&turns_, 1000 + i});
        one.client.on_change([&one] {
            one.answers.read(std::string_view{one.client.received()}.substr(one.seen));
            one.seen = one.client.received().size();
            one.stir.set();
        });
        one.pipelines = one_in(3);
        if (one_in(12)) one.gives_up_after = 1 + static_cast<int>(below(6));
        for (std::uint32_t n = 1 + below(3), place = 0; place < n; ++place) {
            asked& what = one.requests.emplace_back();
            what.chunked = one_in(3);
            what.expects = one_in(10);
            what.stream = one_in(3);
            what.repeatable = !one_in(8);
            what.tag = "s" + std::to_string(seed_) + "c" + std::to_string(i) + "r" + std::to_string(place) + "@";
            // Shared flights are of those that ask for the same.
            if (how_ == arrangement::shared && !last_tag.empty() && !one_in(3)) {
                what.tag = last_tag;
            } else {
                bodies_[what.tag] = body_of(what.tag, size(), what.stream);
            }
            last_tag = what.tag;
        }
    }
}

std::string upload_case::wire_of(const asked& what) {
    const std::string& body = bodies_.at(what.tag);
    std::string path = how_ == arrangement::fan_out && one_in(2) ? "/v1/both"
                       : what.repeatable                         ? "/v1/chat/completions"
                                                                 : "/v1/files";
    std::string out = "POST " + path + " HTTP/1.1\r\nHost: h\r\nx-case: " + what.tag + "\r\n";
    if (what.expects) out += "Expect: 100-continue\r\n";
    if (!what.chunked) return out + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    out += "Transfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0; at < body.size();) {
        static constexpr std::uint32_t sizes[] = {1, 100, 5000, 16 * 1024, 70 * 1024};
        const std::size_t n = std::min<std::size_t>(body.size() - at, 1 + below(sizes[below(std::size(sizes))]));
        out += chunk(body.substr(at, n));
        at += n;
    }
    return out + "0\r\n\r\n";
}

void upload_case::draw_pace(exchange_script& script) {
    if (one_in(4)) script.takes_now = 1 + below(40 * kib);
    switch (below(6)) {
    case 0:
    case 1: return; // as fast as it is written
    case 2:         // steady
        script.takes = {{.after = one_in(2) ? 0ms : 1ms, .most = 2 * kib + below(30 * kib)}};
        return;
    case 3: // slow at first, and then not
        script.takes = {{.after = grid(), .most = 1 + below(20 * kib)},
                        {.after = grid(), .most = 1 + below(90 * kib)},
                        {.after = grid()}};
        return;
    case 4: // one long pause within a write
        script.takes = {{.after = 0ms, .most = below(100 * kib)},
                        {.after = std::chrono::milliseconds{20 + below(200)}, .most = 1},
                        {}};
        return;
    default: // no more, after a while
        script.takes = {{.after = grid(), .most = 1 + below(200 * kib)}, {.after = for_ever}};
        return;
    }
}

void upload_case::answer_well(exchange_script& script, std::size_t place) {
    planned& plan = plans_[place];
    plan.status = 200;
    const std::string mark = "\"content\":\"" + std::to_string(place) + ":";
    const bool breaks = one_in(10);
    if (one_in(4)) {
        script.steps.push_back(play::send{stream_head});
        for (std::uint32_t i = 0, n = 1 + below(3); i < n; ++i) {
            const std::string event =
                "data: {\"choices\":[{\"delta\":{" + mark + std::to_string(i) + "\"},\"finish_reason\":null}]}\n\n";
            plan.text += event;
            script.steps.push_back(play::send{chunk(event)});
            if (one_in(2)) script.steps.push_back(play::pause{grid()});
        }
        if (breaks) return script.steps.push_back(play::end{});
        plan.text += stop + done;
        script.steps.push_back(play::send{chunk(stop + done) + "0\r\n\r\n"});
        return;
    }
    plan.text = "{" + mark + "0\",\"more\":\"" + std::string(below(2000), 'x') + "\"}";
    const std::string all = status_answer(200, "", plan.text);
    const std::size_t half = all.size() - plan.text.size() / 2;
    script.steps.push_back(play::send{all.substr(0, half)});
    if (one_in(3)) script.steps.push_back(play::pause{grid()});
    if (breaks) return script.steps.push_back(play::reset{});
    script.steps.push_back(play::send{all.substr(half)});
}

void upload_case::answer_badly(exchange_script& script, std::size_t place) {
    static constexpr int statuses[] = {503, 503, 503, 429, 500, 529, 400};
    planned& plan = plans_[place];
    plan.status = statuses[below(std::size(statuses))];
    // More than is looked into, now and then, and slow to end.
    const std::string more = one_in(3) ? ",\"more\":\"" + std::string(20'000, 'x') + "\"" : "";
    if (!more.empty() && one_in(2)) plan.status = 400; // which is passed on at once
    plan.text = "{\"error\":{\"message\":\"m\",\"content\":\"" + std::to_string(place) + ":0\"}" + more + "}";
    const std::string all = status_answer(plan.status, one_in(4) ? "retry-after-ms: 20\r\n" : "", plan.text);
    const std::size_t half = more.empty() ? all.size() : all.size() - 1 - below(2000);
    script.steps.push_back(play::send{all.substr(0, half)});
    if (half < all.size()) {
        script.steps.push_back(play::pause{std::chrono::milliseconds{20 + below(200)}});
        script.steps.push_back(play::send{all.substr(half)});
    }
    if (one_in(4)) script.steps.push_back(play::end{});
    if (one_in(6)) script.steps.push_back(play::reset{});
}

exchange_script upload_case::draw_script(std::size_t place) {
    plans_.resize(std::max(plans_.size(), place + 1));
    exchange_script script;
    script.connect_after = one_in(4) ? grid() : 0ms;
    if (one_in(24)) {
        script.connect_failure =
            net::transport_error{net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
        return script;
    }
    script.reused = one_in(6);
    script.writes_fail = one_in(40);
    draw_pace(script);
    const std::size_t early = one_in(3) ? 0 : below(static_cast<std::uint32_t>(largest_) + 1);
    switch (below(12)) {
    case 0: // stale, or dying under it
        if (!one_in(3)) script.steps.push_back(play::body{early});
        script.steps.push_back(one_in(2) ? play_step{play::end{}} : play_step{play::reset{}});
        return script;
    case 1: script.steps.push_back(play::silence{}); return script;
    case 2:
    case 3:
    case 4: // before it has all of it
        script.steps.push_back(play::body{early});
        if (one_in(2)) script.steps.push_back(play::pause{grid()});
        answer_badly(script, place);
        return script;
    case 5:
        script.steps.push_back(play::body{early});
        answer_well(script, place);
        return script;
    case 6:
        script.steps.push_back(play::whole{});
        script.steps.push_back(play::pause{grid()});
        answer_badly(script, place);
        return script;
    default:
        script.steps.push_back(play::whole{});
        script.steps.push_back(play::pause{grid()});
        answer_well(script, place);
        return script;
    }
}

net::task<void> upload_case::visit(visitor& one) {
    const auto pause = [&](duration length) -> net::task<void> {
        const steady_time until = f_.loop.now() + length;
        while (!over_ && !one.left && f_.loop.now() < until) co_await one.stir.wait_until(f_.loop.timers(), until);
    };
    const auto may_send = [&] { return !over_ && !one.left && !one.half_closed && !one.client.closed_by_proxy(); };
    co_await pause(grid());
    std::string ahead; // goes out with the next piece
    for (std::size_t n = 0; n < one.requests.size() && may_send(); ++n) {
        asked& what = one.requests[n];
        std::string wire = ahead + wire_of(what);
        ahead.clear();
        largest_ = std::max(largest_, bodies_.at(what.tag).size());
        const bool steady = one_in(3);
        const std::size_t usual = std::array<std::size_t, 5>{1460, 8 * kib, 16 * kib, 40 * kib, 1024 * kib}[below(5)];
        for (std::size_t at = 0; at < wire.size() && may_send();) {
            if (one.gives_up_after > 0 && --one.gives_up_after == 0) co_return;
            const std::size_t bytes =
                std::min<std::size_t>(wire.size() - at, steady ? usual : 1 + below(static_cast<std::uint32_t>(usual)));
            const bool last = at + bytes == wire.size();
            // The next request begins in the same piece.
            if (last && one.pipelines && n + 1 < one.requests.size() && one_in(2)) {
                ahead = wire.substr(at);
                break;
            }
            what.begun = true;
            // Whose end may have waited for this.
            for (std::size_t before = 0; before < n; ++before) one.requests[before].begun = true;
            one.client.send(std::string_view{wire}.substr(at, bytes));
            turns_.note(900, 's');
            at += bytes;
            if (last) break;
            if (one_in(20)) {
                co_await pause(std::chrono::milliseconds{20 + below(150)}); // longer than anything waits
            } else if (one_in(2)) {
                co_await pause(grid());
            }
        }
        if (one.pipelines && one_in(2)) continue;
        if (!ahead.empty()) continue;
        while (may_send() && one.answers.whole() <= n) co_await one.stir.wait();
        if (one_in(2)) co_await pause(grid());
    }
    one.sent_all = true;
}

net::task<void> upload_case::leave_at(visitor& one, steady_time when, bool half) {
    co_await f_.loop.sleep_until(when);
    if (one.left || over_) co_return;
    turns_.note(900, half ? 'h' : 'l');
    half ? one.client.half_close() : one.client.leave();
    (half ? one.half_closed : one.left) = true;
    one.stir.set();
}

net::task<void> upload_case::stall(visitor& one, steady_time from, duration length) {
    co_await f_.loop.sleep_until(from);
    one.client.stop_reading();
    co_await f_.loop.sleep_until(from + length);
    if (!one.left) one.client.read_again();
}

net::task<void> upload_case::disturb(steady_time when, bool drain) {
    co_await f_.loop.sleep_until(when);
    turns_.note(900, drain ? 'd' : 'c');
    if (!drain) {
        reload();
        co_return;
    }
    // As a worker drains: no connection goes on after its answer, and after a while none at all.
    ++drains_;
    drained_ = true;
    f_.context.draining = true;
    const auto each = [&](auto&& act) {
        for (auto at = f_.context.open.begin(); at != f_.context.open.end();)
            act(static_cast<request::client_connection&>(*at++));
    };
    each([](request::client_connection& one) { one.drain(); });
    if (one_in(2)) co_return;
    co_await f_.loop.sleep_until(when + 50ms);
    each([](request::client_connection& one) { one.close_now(); });
}

std::vector<std::string> upload_case::run(upload_tally& sum) {
    const steady_time begin = f_.loop.now();
    const auto soon = [&] { return begin + grid() + grid() + grid(); };
    for (auto& one : visitors_) {
        f_.loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(f_.context, one->client.connect())));
        actors_.spawn(visit(*one));
        if (one_in(5)) actors_.spawn(leave_at(*one, soon(), one_in(4)));
        if (one_in(10)) actors_.spawn(stall(*one, soon(), std::chrono::milliseconds{below(100)}));
    }
    for (int n = one_in(4) ? 1 + static_cast<int>(below(2)) : 0; n > 0; --n) actors_.spawn(disturb(soon(), false));
    if (one_in(10)) actors_.spawn(disturb(soon(), true));
    f_.pass(1min);
    for (std::size_t place = 0; place < f_.upstream.exchanges().size(); ++place) check_upload(place, sum);
    for (const auto& one : visitors_) check_answers(*one, sum);
    over_ = true;
    for (auto& one : visitors_) {
        one->stir.set();
        if (!one->left) one->client.leave();
    }
    f_.pass(everything_over);
    check_leftovers();
    sum.hedges += f_.seen.hedges;
    sum.retries += static_cast<int>(f_.seen.extra.size()) - f_.seen.hedges;
    sum.reloads += reloads_;
    sum.drains += drains_;
    sum.steps += turns_.steps();
    return std::move(wrong_);
}

void upload_case::check_upload(std::size_t place, upload_tally& sum) {
    const exchange_log& log = *f_.upstream.exchanges()[place];
    if (log.written.empty()) return;
    const auto& got = log.requests;
    const std::string name = "the request on connection " + std::to_string(place);
    if (got.malformed()) return complain(name + " is no HTTP");
    if (got.messages().empty()) return;
    ++sum.exchanges;
    const read_message& one = got.messages().front();
    sum.bytes += one.body.size();
    if (got.messages().size() > 1) return complain(name + " is more than one");
    const auto known = bodies_.find(one.field("x-case"));
    if (known == bodies_.end()) return complain(name + " is nobody's: " + one.head);
    const std::string body = as_sent_to(log.upstream, known->second);
    if (!std::string_view{body}.starts_with(one.body))
        return complain(name + " of " + known->first + " has other bytes: " + difference(one.body, body));
    if (one.whole && one.body.size() != body.size())
        return complain(name + " passes for whole with " + std::to_string(one.body.size()) + " of " +
                        std::to_string(body.size()) + " bytes");
    if (!one.field("content-length").empty() && one.field("content-length") != std::to_string(body.size()))
        return complain(name + " announces another length");
    ++(one.whole ? sum.whole_uploads : sum.cut_uploads);
}

void upload_case::check_answers(const visitor& one, upload_tally& sum) {
    const auto begun = static_cast<std::size_t>(
        std::count_if(one.requests.begin(), one.requests.end(), [](const asked& each) { return each.begun; }));
    sum.requests += static_cast<int>(begun);
    const std::string name = begun == 0 ? "a client" : "the client of " + one.requests.front().tag;
    if (one.answers.malformed())
        return complain(name + " received what is no HTTP: " + one.client.received().substr(0, 400));
    const auto& answers = one.answers.messages();
    if (answers.size() > begun) return complain(name + " has more answers than requests");
    bool last_one = false; // whoever sends more after such an answer is not heard
    for (std::size_t n = 0; n < answers.size(); ++n) {
        const read_message& answer = answers[n];
        const std::string& tag = one.requests[n].tag;
        last_one = answer.field("connection") == "close";
        // Whose answer it is. That of a fan-out is put together from several.
        static constexpr std::string_view mark = "\"content\":\"";
        for (auto at = answer.body.find(mark); at != std::string::npos; at = answer.body.find(mark, at + 1)) {
            const auto place = std::strtoul(answer.body.c_str() + at + mark.size(), nullptr, 10);
            if (place >= plans_.size()) return complain(name + " has an answer of nowhere");
            const auto& sent = f_.upstream.exchanges()[place]->requests.messages();
            if (sent.empty() || sent.front().field("x-case") != tag)
                return complain(name + " has the answer to another's request");
            if (how_ == arrangement::fan_out) continue;
            const planned& plan = plans_[place];
            if (answer.status() != plan.status) return complain(name + " has another status than its answer");
            if (answer.whole
                    ? answer.body != plan.text
                    : answer.body.find("event: error") == std::string::npos && !plan.text.starts_with(answer.body))
                return complain(name + " has other bytes than its answer: " + answer.body.substr(0, 300));
        }
        if (!answer.whole)
            ++sum.cut;
        else
            ++(answer.status() == 200 ? sum.whole : sum.refused);
    }
    const std::size_t missing = begun - answers.size();
    const bool cut = !answers.empty() && !answers.back().whole;
    if (one.left || one.half_closed) {
        sum.left += static_cast<int>(missing);
    } else if (drained_) {
        if (!one.client.closed_by_proxy()) return complain(name + " is still served after the drain");
        sum.unasked += static_cast<int>(missing);
    } else if (one.client.closed_by_proxy()) {
        if (answers.empty() && begun > 0) return complain(name + " is closed without an answer");
        if (missing > 0 && !last_one && !cut) return complain(name + " is closed without its last answers");
        sum.unasked += static_cast<int>(missing);
    } else if (cut || missing > 0) {
        return complain(name + " waits for an answer: " + std::to_string(answers.size()) + " of " +
                        std::to_string(begun) + (cut ? ", the last one cut" : ""));
    } else if (last_one) {
        return complain(name + " is told of a close that does not come");
    }
}

void upload_case::check_leftovers() {
    const auto zero = [&](std::size_t n, const char* of) {
        if (n != 0) complain(std::string{"left over: "} + std::to_string(n) + " " + of);
    };
    zero(f_.loop.nursery().size(), "tasks");
    zero(f_.loop.timers().armed(), "timers");
    zero(f_.upstream.open_now(), "upstream connections");
    zero(f_.memory.used(), "bytes of memory");
    zero(f_.context.open.size(), "client connections");
    zero(flights_.size(), "shared flights");
    zero(f_.services.flight_nursery.size(), "shared flights of the worker");
    zero(actors_.size(), "scripted clients");
    for (const auto& one : visitors_)
        if (!one->client.closed_by_proxy()) complain("left over: an open client");
    for (const auto& shown : f_.registry.report(*f_.settings, f_.loop.now()).routes) {
        zero(shown.holding, "requests in line");
        if (shown.bulkhead) zero(shown.bulkhead->in_use + shown.bulkhead->queued, "permits");
        for (const auto& at : shown.endpoints) {
            if (at.circuit) zero(at.circuit->probes, "probes");
            if (at.overload) zero(at.overload->in_service, "attempts in service");
        }
    }
    if (f_.seen.started != static_cast<int>(f_.seen.requests.size()))
        complain("requests begun: " + std::to_string(f_.seen.started) +
                 ", recorded: " + std::to_string(f_.seen.requests.size()));
    if (f_.seen.attempts_started != static_cast<int>(f_.seen.attempts.size()))
        complain("attempts begun: " + std::to_string(f_.seen.attempts_started) +
                 ", ended: " + std::to_string(f_.seen.attempts.size()));
}

} // namespace evenkeel::test
