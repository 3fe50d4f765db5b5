#include "proxy/fan_out/in_parts.hpp"

#include "proxy/fan_out/part_group.hpp"
#include "proxy/fan_out/parts_body.hpp"
#include "proxy/flight/within_deadline.hpp"
#include "proxy/message/body_answers.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/message/stored_body.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {

steady_time deadline_of(const client_request& request, const errand& what, bool progressive) {
    const client_hints& told = request.facts.hints();
    duration within = request.route->timeout.total;
    if (told.timeout) within = std::min(within, answer_within(*told.timeout));
    // Else heartbeats break it.
    if (told.silence && !progressive) within = std::min(within, answer_within(*told.silence));
    return std::min(request.came.received + within, what.bound);
}

answer refused(const worker_services& services, const client_request& request, part_group::refusal why) {
    if (why == part_group::refusal::memory) return no_memory_answer(request, services.loop.wall_now());
    local_failure failure;
    failure.status = 400;
    failure.code = "body_not_split";
    failure.message = "the body must be a JSON object with one member for each part of this route, and no other";
    return make_local_answer(failure, request.facts.dialect(), services.loop.wall_now());
}

answer joined(const worker_services& services, client_request& request, const part_group& parts) {
    const auto all = parts.answers();
    const parts_verdict verdict = verdict_on(all, request.route->fan_out.min_success);
    const bool failed = verdict == parts_verdict::failed;
    auto body = std::make_unique<stored_body>(parts_document(all, verdict));
    body->status(failed ? 502 : 200);
    body->add_field("content-type", "application/json");
    body->add_field("date", http_date(services.loop.wall_now()));
    if (std::string label = degraded_label(all, verdict); !label.empty())
        body->add_field("x-evenkeel-degraded", std::move(label));
    answer made;
    if (failed) {
        body->add_field("proxy-status", proxy_status_of(all));
        // Only where every failed part says so.
        duration pause = duration::max();
        made.stop_client_retries = true;
        duration longest_pause{};
        for (const part_answer* one : all) {
            if (one->good) continue;
            pause = std::min(pause, one->retry_after);
            longest_pause = std::max(longest_pause, one->retry_after);
            made.stop_client_retries = made.stop_client_retries && one->stop_client_retries;
        }
        if (pause > duration::zero()) {
            body->add_field("retry-after",
                            std::to_string(std::chrono::ceil<std::chrono::seconds>(longest_pause).count()));
        }
    }
    made.local = true;
    const parts_summary noted = summary_of(parts);
    noted.tell(request.account);
    made.outcome = noted.outcome;
    made.service = noted.service;
    made.reason = noted.reason;
    made.head = &body->finish_head();
    made.body = std::move(body);
    return made;
}

answer progressive_answer(worker_services& services, client_request& request, std::shared_ptr<part_group> parts) {
    auto body = std::make_unique<parts_body>(services.loop, request, std::move(parts));
    answer made;
    made.head = &body->head();
    made.body = std::move(body);
    made.stream = true;
    made.undecided = true;
    return made;
}

net::task<answer> ask_parts(worker_services& services, client_request& request, errand what, next_stage next) {
    if (request.facts.hints().unreadable) co_return unreadable_timeout_answer(services, request);
    const bool progressive = request.facts.accepts_events() && !request.came.head->is_head();
    const auto parts = std::make_shared<part_group>(services, request, deadline_of(request, what, progressive), next);
    if (const auto why = parts->start(request, progressive); why != part_group::refusal::none)
        co_return refused(services, request, why);
    if (progressive) co_return progressive_answer(services, request, parts);

    const net::cancel_source::hook left(
        request.gone, [](void* group) { static_cast<part_group*>(group)->cancel(); }, parts.get());
    while (!parts->over() && !parts->cancelled()) {
        static_cast<void>(co_await parts->changed(steady_time::max()));
        parts->give_up_late();
    }
    if (!parts->cancelled()) co_return joined(services, request, *parts);
    summary_of(*parts).tell(request.account);
    co_return client_left();
}
} // namespace

net::task<answer> in_parts(worker_services& services, client_request& request, errand&& what, next_stage next) {
    const bool fans_out = request.route->serves == config::route_serves::fan_out;
    return fans_out ? ask_parts(services, request, std::move(what), next) : next(services, request, std::move(what));
}

} // namespace evenkeel::request
