#pragma once
// A stage of a request's way to an answer. The stages stand in one order (serve/order.hpp), outermost first; each does
// its part of the work and hands the errand on to `next`, once, again with another one, or not at all. One that has
// nothing to do for a request hands it on without a coroutine of its own, so that what is off costs nothing. For the
// same reason an errand goes by reference until one keeps it: a stage takes what it needs of it before it returns, and
// what waits is a coroutine that has it by value.

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/message/errand.hpp"
#include "proxy/state/worker_services.hpp"

#include <string_view>
#include <utility>

namespace evenkeel::request {

struct stage;

// What stands below a stage.
class next_stage {
public:
    constexpr explicit next_stage(const stage* first) noexcept : first_(first) {}
    // The request and the services outlive the answer.
    [[nodiscard]] inline net::task<answer> operator()(worker_services& services, client_request& request,
                                                      errand&& what) const;

private:
    const stage* first_;
};

struct stage {
    std::string_view name;
    net::task<answer> (*run)(worker_services& services, client_request& request, errand&& what, next_stage next);
    std::string_view what; // a line for people
};

inline net::task<answer> next_stage::operator()(worker_services& services, client_request& request,
                                                errand&& what) const {
    return first_->run(services, request, std::move(what), next_stage{first_ + 1});
}

// The answer of a stage that has one at once.
[[nodiscard]] inline net::task<answer> at_once(answer given) { co_return given; }

} // namespace evenkeel::request
