#pragma once
// The parts of one fan-out under way: each a request of its own on its own route, served at the same time as the
// others, its answer collected until it is whole. Parts run in the nursery and keep the group alive; whoever waits for
// them holds it and cancels it when they are no longer wanted.

#include "proxy/fan_out/parts_answer.hpp"
#include "proxy/flight/stage.hpp"
#include "proxy/message/answer.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/message/owned_request.hpp"
#include "proxy/net/event.hpp"
#include "proxy/state/worker_services.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::request {

class part_group : public std::enable_shared_from_this<part_group> {
public:
    // `of` is the client's request on the fan-out's route; it need not outlive this. Nothing is sent before start().
    // `next`: the way of each part.
    part_group(worker_services& services, const client_request& of, steady_time deadline, next_stage next);
    part_group(const part_group&) = delete;
    part_group& operator=(const part_group&) = delete;

    enum class refusal : unsigned char { none, memory, not_split };
    // `progressive`: the client is told of each part as it comes; the parts themselves are asked for JSON.
    [[nodiscard]] refusal start(const client_request& of, bool progressive);

    // All that are not over yet end now and tell nobody.
    void cancel() noexcept;
    [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }

    // One more part is over, or the group was cancelled; false: `due` came first. One waits at a time.
    [[nodiscard]] net::task<bool> changed(steady_time due) {
        return changed_.wait_until(services_.loop.timers(), std::min(due, last_moment_));
    }
    // The parts that are not over when their time is are failures. Called by whoever waits, after each wake-up.
    void give_up_late();
    [[nodiscard]] bool over() const noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return parts_.size(); }
    [[nodiscard]] const part_answer* answer_of(std::size_t place) const noexcept {
        return parts_[place].over ? &parts_[place].answer : nullptr;
    }
    [[nodiscard]] std::vector<const part_answer*> answers() const; // of those that are over

    [[nodiscard]] const config::route& route() const noexcept { return *route_; }

private:
    struct part {
        std::shared_ptr<const config::route> route;
        std::unique_ptr<owned_request> request;
        part_answer answer;
        body_source* reading = nullptr;
        bool over = false;
    };
    struct body_end; // how the collecting of a body ended

    static net::task<void> run(std::shared_ptr<part_group> self, std::size_t place);
    static void note_head(part& one, const wire::response_head& head);
    [[nodiscard]] net::task<body_end> collect(answer& given, part& one);
    void settle(part& one, const answer& given, const body_end& end);
    void fail(part& one, int status, std::string_view code, std::string_view message);
    void tell(const part& one, const answer& given, const body_end& end) noexcept;
    void end_now(part& one) noexcept;
    [[nodiscard]] bool divide(const client_request& of, const shared_bytes& whole,
                              std::vector<std::string_view>& bodies) const;
    [[nodiscard]] std::unique_ptr<owned_request> request_for(const config::route& route, const client_request& of,
                                                             shared_bytes body, bool progressive);

    worker_services& services_;
    next_stage next_;
    config::snapshot settings_;
    std::shared_ptr<const config::route> route_; // the fan-out's
    steady_time deadline_;
    steady_time last_moment_; // a little later: what the parts themselves say at their deadline is heard
    memory_charge charge_;    // for the body, and for the answers collected
    std::vector<part> parts_;
    net::event changed_;
    bool cancelled_ = false;
};

} // namespace evenkeel::request
