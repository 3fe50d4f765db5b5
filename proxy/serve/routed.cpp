#include "proxy/serve/routed.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/serve/admitted.hpp"
#include "proxy/wire/model_place.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {
// Before a route is known, its own time is not either.
duration longest_total(const config::settings& settings) {
    duration all{};
    for (const auto& route : settings.routes) all = std::max(all, route->timeout.total);
    return all;
}

answer no_route(const worker_services& services, const client_request& request) {
    return make_local_answer(
        {.status = 404,
         .code = "no_route",
         .proxy_error = "destination_not_found",
         .message = "no route matches this method and path; see `routes` in the configuration file"},
        request.facts.dialect(), services.loop.wall_now());
}

answer not_for_pages(const worker_services& services, const client_request& request, page_verdict why) {
    return make_local_answer({.status = 403,
                              .code = to_string(why),
                              .proxy_error = "http_request_denied",
                              .message = std::string{explain(why)}},
                             request.facts.dialect(), services.loop.wall_now());
}

void take(worker_services& services, client_request& request, std::shared_ptr<const config::route> chosen) {
    request.route = std::move(chosen);
    services.observer.request_started(request.route.get());
    request.account.announced = true;
}

net::task<answer> go_on(worker_services& services, client_request& request, errand&& what, next_stage next) {
    if (!request.route) return at_once(no_route(services, request));
    what.asked = request.route;
    return next(services, request, std::move(what));
}

net::task<answer> routed_by_model(worker_services& services, client_request& request, errand what, next_stage next,
                                  std::shared_ptr<const config::route> without) {
    const config::settings& settings = *request.came.settings;
    if (reads_ahead(request, settings.replay_buffer)) {
        const steady_time since = services.loop.now();
        co_await request.body.read_whole(settings.replay_buffer, request.came.received + longest_total(settings));
        request.account.effort.uploading += services.loop.now() - since;
    }
    if (!request.body.complete() || request.body.failed() != request_body::failure::none) {
        take(services, request, std::move(without));
        co_return body_not_seen(services, request);
    }
    request.account.model = request.facts.model().name;
    take(services, request, choose_route(settings, {*request.came.head, request.account.model}).route);
    co_return co_await go_on(services, request, std::move(what), next);
}
} // namespace

net::task<answer> routed(worker_services& services, client_request& request, errand&& what, next_stage next) {
    const config::settings& settings = *request.came.settings;
    route_choice choice = choose_route(settings, {*request.came.head, std::nullopt});
    const page_verdict page = check_page(settings.pages, request.came.via, *request.came.head);
    if (page == page_verdict::welcome && choice.needs_model) {
        // Where the path names one, that is what the provider goes by.
        auto named = wire::find_model_in_path(request.came.head->path);
        if (!named) return routed_by_model(services, request, std::move(what), next, std::move(choice.route));
        request.account.model = std::move(named->name);
        choice = choose_route(settings, {*request.came.head, request.account.model});
    }
    take(services, request, std::move(choice.route));
    if (page != page_verdict::welcome) return at_once(not_for_pages(services, request, page));
    return go_on(services, request, std::move(what), next);
}

} // namespace evenkeel::request
