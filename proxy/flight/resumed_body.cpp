#include "proxy/flight/resumed_body.hpp"

#include "proxy/flight/run_flight.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/wire/stream_reader.hpp"
#include "proxy/wire/stream_transcript.hpp"

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::stream_end;
using telemetry::stream_resumption;
using wire::stream_transcript;

constexpr int max_replays = 3;                           // of one stream (chosen)
constexpr std::size_t max_unfinished_event = 256 * 1024; // bytes; a longer event is passed on without being looked into
constexpr std::string_view comment = ":\n\n";

class resumed final : public body_source {
public:
    resumed(worker_services& services, client_request& request, const errand& what, int attempts,
            const stream_origin& where, wire::dialect which, std::unique_ptr<body_source> from)
        : services_(services), request_(request),
          errand_(what.without_permit()), earlier_{.made = static_cast<attempt_id>(attempts)}, origin_(where),
          heartbeat_(what.asked->stream.heartbeat), bound_(what.asked->stream.hold_buffer), dialect_(which),
          transcript_(which), charge_(services.memory), from_(std::move(from)), passed_at_(services.loop.now()) {}

    std::optional<body_step> ready() override {
        // What was given last is still being sent.
        if (fresh_ || broken_) return over_ && out_[turn_].empty() ? std::optional<body_step>{final_} : std::nullopt;
        while (!over_ && !broken_ && out_[turn_].empty()) {
            const auto step = from_->ready();
            if (!step) break;
            if (step->is == body_step::kind::truncated) {
                broken_ = step;
            } else {
                take(*step);
            }
        }
        if (!out_[turn_].empty()) return give();
        return over_ ? std::optional<body_step>{final_} : std::nullopt;
    }

    bool may_ask_again() const noexcept override { return true; }

    net::task<body_step> next() override {
        fresh_ = false;
        for (;;) {
            if (!out_[turn_].empty()) co_return give();
            if (over_) co_return final_;
            if (broken_) {
                const body_step how = *std::exchange(broken_, std::nullopt);
                co_await go_on(how.why, how.ended);
                continue;
            }
            auto step = from_->ready();
            if (!step) step = co_await from_->next();
            if (step->is == body_step::kind::truncated) {
                broken_ = step;
                continue;
            }
            take(*step);
            if (replaying_ && out_[turn_].empty() && !over_ && services_.loop.now() - passed_at_ >= heartbeat_)
                out_[turn_] = comment;
        }
    }

    void cancel() noexcept override {
        cancelled_ = true;
        if (from_) from_->cancel();
    }

private:
    body_step give() {
        fresh_ = true;
        passed_at_ = services_.loop.now();
        const std::string& text = out_[turn_];
        turn_ ^= 1;
        out_[turn_].clear();
        return {.is = body_step::kind::data, .data = text, .first_event = std::exchange(first_event_, false)};
    }
    void end(body_step how) {
        over_ = true;
        final_ = how;
    }
    void end_broken(std::string_view why, stream_end how) {
        end({.is = body_step::kind::truncated, .why = why, .ended = how});
    }
    // Something is broken that another attempt may mend.
    void breaks(std::string_view why, stream_end how) {
        broken_ = body_step{.is = body_step::kind::truncated, .why = why, .ended = how};
    }

    void take(const body_step& step) {
        first_event_ = first_event_ || step.first_event;
        if (step.is == body_step::kind::data) {
            splitter_.add(step.data);
            while (!over_ && !broken_) {
                const auto event = splitter_.next();
                if (!event) break;
                look_at(*event);
            }
            if (!over_ && !broken_ && splitter_.rest().size() > max_unfinished_event) pass_unread();
            return;
        }
        if (const auto event = splitter_.last(); event && !over_) look_at(*event);
        if (broken_ || over_) return;
        if (replaying_ && !transcript_.caught_up()) return differs();
        end(step);
    }

    void look_at(const wire::stream_event& event) {
        if (!replaying_) {
            if (transcript_.said(event) == stream_transcript::kind::error) {
                told_.assign(event.raw);
                return breaks("http_response_incomplete", stream_end::upstream_error);
            }
            out_[turn_] += event.raw;
        } else {
            switch (transcript_.replayed(event)) {
            case stream_transcript::step::swallowed: break;
            case stream_transcript::step::fresh: out_[turn_] += transcript_.text(); break;
            case stream_transcript::step::error: return breaks("http_response_incomplete", stream_end::upstream_error);
            case stream_transcript::step::differs: return differs();
            }
            if (!resumed_ && transcript_.caught_up()) {
                resumed_ = true;
                tell(stream_resumption::resumed);
            }
        }
        const std::size_t kept = transcript_.bytes();
        if (kept <= charged_) return;
        if (kept > bound_ || !charge_.take(kept - charged_)) return transcript_.forget();
        charged_ = kept;
    }

    void pass_unread() {
        if (replaying_ && !transcript_.caught_up()) return differs();
        transcript_.forget();
        out_[turn_] += splitter_.rest();
        splitter_.clear();
    }

    void differs() {
        tell(stream_resumption::differs);
        from_.reset();
        say(502, "stream_truncated",
            "the upstream's stream ended before it was complete, and a second one did not say the same");
        end_broken("http_response_incomplete", stream_end::truncated);
    }

    void say(int status, std::string_view code, std::string_view message) {
        if (cancelled_) return;
        out_[turn_] += wire::error_frame(wire::stream_format::sse, dialect_, status, code, message);
    }
    void tell(stream_resumption how) {
        request_.account.tell(services_.observer, services_.loop.now(), {.route = request_.route.get()},
                              telemetry::happened::resumed{how});
    }

    // The endpoint that began is the likeliest to say the same once more; one that fell silent, or broke twice, is
    // asked last.
    void note_failure(stream_end how) {
        if (how == stream_end::idle || std::exchange(broke_at_, origin_.at) == origin_.at)
            ++earlier_.failures[origin_.at];
    }
    // Asks for the stream again; leaves it being read, or over.
    net::task<void> go_on(std::string_view why, stream_end how) {
        if (cancelled_ || request_.gone.requested() || how == stream_end::client_gone)
            co_return end_broken(why, stream_end::client_gone);
        from_.reset();
        splitter_.clear();
        const bool possible = transcript_.can_replay() && times_ < max_replays && request_.body.whole();
        if (possible) {
            ++times_;
            const steady_time began = services_.loop.now();
            earlier_.took = began - origin_.sent;
            note_failure(how);
            errand once_more{.asked = errand_.asked,
                             .since = began, // timeout.total is each commit's own
                             .bound = errand_.bound,
                             .shared = errand_.shared,
                             .earlier = &earlier_};
            once_more.deadline = deadline_of(request_, once_more);
            ++request_.account.effort.resumed;
            const int before = request_.account.effort.attempts;
            answer again = co_await run_flight(services_, request_, std::move(once_more), nothing_below);
            earlier_.made += static_cast<attempt_id>(request_.account.effort.attempts - before);
            if (cancelled_ || request_.gone.requested()) co_return end_broken(why, stream_end::client_gone);
            const bool good = again.body && again.replays && again.head->status < 400;
            if (again.replays) origin_ = *again.replays;
            if (good) {
                replaying_ = true;
                resumed_ = false;
                transcript_.begin_replay();
                from_ = std::move(again.body);
                co_return;
            }
        }
        tell(possible ? stream_resumption::no_attempt : stream_resumption::not_comparable);
        if (how == stream_end::upstream_error && !told_.empty()) {
            out_[turn_] += told_; // the upstream's own words
        } else {
            const bool idle = how == stream_end::idle;
            say(idle ? 504 : 502, idle ? "stream_idle_timeout" : "stream_truncated",
                idle ? "the upstream went silent before its stream was complete"
                     : "the upstream's stream ended before it was complete");
        }
        end_broken(why, how);
    }

    worker_services& services_;
    client_request& request_;
    errand errand_;            // that the stream came of
    earlier_attempts earlier_; // with those since it was committed
    stream_origin origin_;
    int times_ = 0;
    duration heartbeat_;
    std::uint64_t bound_; // of what is kept to compare
    wire::dialect dialect_;
    wire::event_splitter splitter_;
    stream_transcript transcript_;
    memory_charge charge_;
    std::size_t charged_ = 0;
    std::unique_ptr<body_source> from_; // null while another is sought, and once it is over
    std::array<std::string, 2> out_;    // by turns: what was given lives until the next is asked for
    std::size_t turn_ = 0;
    std::string told_;                // the upstream's error frame
    std::optional<body_step> broken_; // how the present attempt's stream broke
    body_step final_;
    steady_time passed_at_;
    std::optional<std::size_t> broke_at_; // the endpoint whose stream broke last
    bool fresh_ = false, first_event_ = false;
    bool replaying_ = false, resumed_ = false;
    bool over_ = false, cancelled_ = false;
};
} // namespace

bool is_replayable_stream(const client_request& request, wire::dialect which) {
    return stream_transcript::knows(which) && request.body.whole() && request.facts.is_deterministic();
}

std::unique_ptr<body_source> resumed_body(worker_services& services, client_request& request, const errand& what,
                                          int attempts, const stream_origin& where, wire::dialect which,
                                          std::unique_ptr<body_source> from) {
    return std::make_unique<resumed>(services, request, what, attempts, where, which, std::move(from));
}

} // namespace evenkeel::request
