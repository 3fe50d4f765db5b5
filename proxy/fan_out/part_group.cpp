#include "proxy/fan_out/part_group.hpp"

#include "proxy/events/disturbed.hpp"
#include "proxy/events/tries.hpp"
#include "proxy/wire/error_body.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <charconv>
#include <exception>

namespace evenkeel::request {

namespace {
constexpr duration last_words_time = std::chrono::milliseconds{20}; // chosen: a few turns of a busy loop

// Where a part's answer came from.
std::string_view source_of(const answer& given) noexcept {
    if (!given.degraded.is) return "live";
    return given.degraded.by == fallback_kind::last_good ? "last_good" : "fallback";
}

duration retry_after_of(const wire::response_head& head) noexcept {
    const wire::field* told = head.find(wire::field_id::retry_after);
    if (told == nullptr) return {};
    unsigned seconds = 0; // a date is left to the part's own answer
    const auto [end, error] = std::from_chars(told->value.data(), told->value.data() + told->value.size(), seconds);
    return error == std::errc{} && end == told->value.data() + told->value.size() ? std::chrono::seconds{seconds}
                                                                                  : duration{};
}

bool is_good(int status) noexcept { return status >= 200 && status < 300; }
} // namespace

struct part_group::body_end {
    enum class how : unsigned char {
        whole,
        broken,
        told_error,
        too_large,
        no_memory,
        nobody_waits
    } is = how::nobody_waits;
    int status = 0;         // of the answer, whatever became of its body
    std::string_view why{}; // broken: the RFC 9209 word
    telemetry::stream_end stream = telemetry::stream_end::none;
    duration first_byte{}, first_token{}; // since the request came; 0: none
};

part_group::part_group(worker_services& services, const client_request& of, steady_time deadline, next_stage next)
    : services_(services), next_(next), settings_(of.came.settings), route_(of.route), deadline_(deadline),
      last_moment_(deadline + last_words_time), charge_(services.memory), changed_(services.loop.executor()) {}

// Which bytes each part is sent; false: the body is no object of the parts, and has to be one.
bool part_group::divide(const client_request& of, const shared_bytes& whole,
                        std::vector<std::string_view>& bodies) const {
    const config::fan_out_options& options = of.route->fan_out;
    bodies.assign(options.parts.size(), whole.view());
    if (options.body == config::fan_out_body::same) return true;
    const auto members = wire::list_members(whole.view(), options.parts.size());
    std::vector<std::string_view> split;
    for (const std::string& name : options.parts) {
        const auto found = std::find_if(members.begin(), members.end(),
                                        [&](const wire::json_member& one) { return one.name == name; });
        if (found != members.end()) split.push_back(found->value);
    }
    // As many members as parts, and each part's among them: none twice, none besides.
    if (members.size() != options.parts.size() || split.size() != options.parts.size())
        return options.body != config::fan_out_body::split;
    bodies = std::move(split);
    return true;
}

std::unique_ptr<owned_request> part_group::request_for(const config::route& route, const client_request& of,
                                                       shared_bytes body, bool progressive) {
    auto made = std::make_unique<owned_request>(services_.loop, services_.buffers, of, std::move(body));
    client_request& request = made->get();
    // It goes where a client of the part's own route would have sent it.
    if (!route.match.path.empty()) made->set_path(route.match.path);
    made->set_field("accept-encoding", "identity"); // its answer is looked into
    if (progressive) {
        made->set_field("accept", "application/json");
        made->drop_field(wire::field_id::x_stainless_read_timeout); // heartbeats keep this client patient
    }
    // The parts are different requests and may meet at one provider.
    const wire::field* key =
        of.route->fan_out.parts.size() > 1 ? request.came.head->find(std::string_view{"idempotency-key"}) : nullptr;
    if (key != nullptr) made->set_field("idempotency-key", std::string{key->value} + "-" + route.name);
    return made;
}

part_group::refusal part_group::start(const client_request& of, bool progressive) {
    const shared_bytes whole = of.body.text(); // the parts may outlive the request of the client
    const auto& names = of.route->fan_out.parts;
    if (!charge_.take(names.size() * of.came.head->raw.size())) return refusal::memory; // a copy of the head each
    std::vector<std::string_view> bodies;
    if (!divide(of, whole, bodies)) return refusal::not_split;
    parts_.resize(names.size());
    for (std::size_t place = 0; place < names.size(); ++place) {
        part& one = parts_[place];
        const auto& routes = settings_->routes;
        one.route =
            *std::find_if(routes.begin(), routes.end(), [&](const auto& each) { return each->name == names[place]; });
        one.answer.name = one.route->name;
        one.request = request_for(*one.route, of, whole.part(bodies[place]), progressive);
        one.request->get().route = one.route;
    }
    for (std::size_t place = 0; place < parts_.size(); ++place)
        services_.loop.nursery().spawn(run(shared_from_this(), place));
    return refusal::none;
}

void part_group::end_now(part& one) noexcept {
    one.request->get().gone.request();
    if (one.reading != nullptr) one.reading->cancel();
}

void part_group::cancel() noexcept {
    if (cancelled_) return;
    cancelled_ = true;
    for (part& one : parts_) {
        if (!one.over) end_now(one);
    }
    changed_.set();
}

bool part_group::over() const noexcept {
    return std::all_of(parts_.begin(), parts_.end(), [](const part& one) { return one.over; });
}

std::vector<const part_answer*> part_group::answers() const {
    std::vector<const part_answer*> all;
    for (const part& one : parts_) {
        if (one.over) all.push_back(&one.answer);
    }
    return all;
}

void part_group::give_up_late() {
    if (services_.loop.now() < last_moment_) return;
    for (part& one : parts_) {
        if (one.over) continue;
        fail(one, 504, "deadline_exceeded", "the answer of this part was not whole within the time of the request");
        one.answer.proxy_error = "http_response_timeout";
        end_now(one);
    }
}

// An error of ours in place of an answer.
void part_group::fail(part& one, int status, std::string_view code, std::string_view message) {
    const auto dialect = one.request->get().facts.dialect();
    one.answer.status = status;
    one.answer.good = false;
    one.answer.retry_after = {};
    one.answer.source = "live";
    one.answer.body = wire::error_body(dialect, status, code, message);
    one.answer.content_type = wire::error_content_type;
    one.answer.service = telemetry::request_service::error;
    one.answer.outcome = telemetry::request_outcome::proxy_error;
    one.answer.tries = telemetry::tries_json(one.request->get().account.journal, one.request->get().came.received,
                                             services_.loop.now());
    one.answer.took = services_.loop.now() - one.request->get().came.received;
    one.over = true;
}

// What is said of the answer in its head, which is there until its body is read.
void part_group::note_head(part& one, const wire::response_head& head) {
    one.answer.status = head.status;
    if (const wire::field* type = head.find(wire::field_id::content_type)) one.answer.content_type = type->value;
    if (!is_good(head.status)) one.answer.retry_after = retry_after_of(head);
}

net::task<part_group::body_end> part_group::collect(answer& given, part& one) {
    using how = body_end::how;
    const client_request& request = one.request->get();
    body_end end;
    end.status = given.head->status;
    one.reading = given.body.get();
    if (const auto& framing = given.head->body;
        framing.kind == wire::body_kind::length && framing.length <= route_->stream.hold_buffer)
        charge_.expect(one.answer.body, framing.length);
    for (;;) {
        auto step = given.body->ready();
        if (!step) step = co_await given.body->next();
        if (step->is != body_step::kind::data) {
            end.is = step->is == body_step::kind::truncated                 ? how::broken
                     : step->ended == telemetry::stream_end::upstream_error ? how::told_error
                                                                            : how::whole;
            end.why = step->why;
            end.stream = step->ended;
            break;
        }
        const duration since = services_.loop.now() - request.came.received;
        if (one.answer.body.empty()) end.first_byte = since;
        if (step->first_event) end.first_token = since;
        const bool fits = one.answer.body.size() + step->data.size() <= route_->stream.hold_buffer;
        if (fits && charge_.append(one.answer.body, step->data)) continue;
        end.is = fits ? how::no_memory : how::too_large;
        break;
    }
    one.reading = nullptr;
    co_return end;
}

void part_group::settle(part& one, const answer& given, const body_end& end) {
    using how = body_end::how;
    one.answer.service = given.service;
    one.answer.outcome = given.outcome;
    const telemetry::request_effort& effort = one.request->get().account.effort;
    one.answer.attempts = effort.attempts;
    one.answer.chaos = effort.chaos;
    one.answer.served = effort.served;
    one.answer.lost = effort.lost;
    if (given.upstream != nullptr) one.answer.upstream = given.upstream->name;
    switch (end.is) {
    case how::broken:
    case how::told_error:
        fail(one, 502, "part_truncated", "the answer of this part broke off before it was whole");
        one.answer.proxy_error = end.why;
        return;
    case how::too_large:
        return fail(one, 502, "part_too_large",
                    "the answer of this part is larger than stream.hold_buffer of the fan-out's route");
    case how::no_memory:
        fail(one, 503, "memory", "limits.memory has no room for the answer of this part");
        one.answer.retry_after = std::chrono::seconds{1};
        return;
    case how::nobody_waits: return;
    case how::whole: break;
    }
    if (!wire::is_utf8(one.answer.body))
        return fail(one, 502, "part_not_text", "the answer of this part is neither JSON nor text in UTF-8");
    one.answer.good = is_good(one.answer.status);
    const telemetry::request_account& account = one.request->get().account;
    if (!one.answer.good || telemetry::is_disturbed(account))
        one.answer.tries =
            telemetry::tries_json(account.journal, one.request->get().came.received, services_.loop.now());
    one.answer.source = source_of(given);
    one.answer.proxy_error = given.proxy_error;
    one.answer.stop_client_retries = given.stop_client_retries;
    one.answer.took = services_.loop.now() - one.request->get().came.received;
    one.over = true;
}

net::task<void> part_group::run(std::shared_ptr<part_group> self, std::size_t place) {
    part& one = self->parts_[place];
    client_request& request = one.request->get();
    answer given;
    body_end end;
    std::exception_ptr failure;
    try {
        self->services_.observer.request_started(one.route.get());
        request.note_model();
        errand mine{.asked = one.route, .bound = self->deadline_};
        given = co_await self->next_(self->services_, request, std::move(mine));
        given.tell(request.account);
        if (!given.may_ask_again()) request.body.let_go();
        if (given.body && !one.over && !self->cancelled_) {
            note_head(one, *given.head);
            end = co_await self->collect(given, one);
        }
    } catch (...) {
        failure = std::current_exception();
        one.reading = nullptr;
        end.is = body_end::how::nobody_waits;
    }
    const bool given_up = one.over || self->cancelled_; // while it was served, or read
    if (given_up) end.is = body_end::how::nobody_waits;
    if (!one.over && !self->cancelled_) {
        if (end.is == body_end::how::nobody_waits) {
            failure ? self->fail(one, 500, "internal_error", "an error of the proxy's own ended this part")
                    : self->fail(one, 502, "part_cancelled", "this part ended without an answer");
        } else {
            self->settle(one, given, end);
        }
        self->changed_.set();
    }
    given.body.reset(); // what it was read from has ended with it
    self->tell(one, given, end);
    if (request.body.in_use()) co_await request.body.released();
    if (failure) std::rethrow_exception(failure); // counted and logged by the nursery
}

void part_group::tell(const part& one, const answer& given, const body_end& end) noexcept {
    using how = body_end::how;
    client_request& request = one.request->get();
    telemetry::request_account& account = request.account;
    account.part_of = route_.get();
    account.ended = end.stream;
    account.first_byte = end.first_byte;
    account.first_token = end.first_token;
    account.bytes_out = one.answer.body.size();
    account.status = one.answer.status;
    if (given.launched != steady_time{} && given.coalesced != telemetry::coalesce_role::follower)
        account.split_time(request.came.received, given.launched, given.decided, given.decided);
    if (end.is == how::nobody_waits) {
        // At the end of its time it is a failure, else its client has left.
        account.outcome =
            one.over ? telemetry::request_outcome::proxy_error : telemetry::request_outcome::client_cancelled;
        if (one.over) account.reason = "deadline_exceeded";
        if (given.stream) account.ended = one.over ? telemetry::stream_end::idle : telemetry::stream_end::client_gone;
    } else if (end.is == how::broken || end.is == how::told_error) {
        account.outcome = telemetry::request_outcome::truncated;
        account.proxy_error = end.why;
    } else if (end.is != how::whole || (!one.answer.good && is_good(end.status))) {
        account.outcome = telemetry::request_outcome::proxy_error;
        account.reason = "part_unusable";
    }
    services_.observer.request_finished(request.close_account(services_.loop.now()));
}

} // namespace evenkeel::request
