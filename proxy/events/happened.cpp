#include "proxy/events/happened.hpp"

namespace evenkeel::telemetry {

namespace {
struct naming {
    happening_words operator()(const happened::queued& at) const noexcept {
        return {at.admitted                            ? "admitted"
                : at.refused == bulkhead_refusal::none ? "left"
                                                       : "refused",
                at.refused == bulkhead_refusal::none ? "bulkhead" : to_string(at.refused)};
    }
    happening_words operator()(const happened::joined& at) const noexcept { return {"joined", to_string(at.role)}; }
    happening_words operator()(const happened::detached& at) const noexcept { return {"detached", to_string(at.why)}; }
    happening_words operator()(const happened::shared_flight_ended&) const noexcept {
        return {"shared_flight_ended", {}};
    }
    happening_words operator()(const happened::launched& at) const noexcept { return {"launched", at.why}; }
    happening_words operator()(const happened::passed_over& at) const noexcept {
        return {"passed_over", to_string(at.why)};
    }
    happening_words operator()(const happened::not_followed& at) const noexcept {
        return {"not_followed", to_string(at.why)};
    }
    happening_words operator()(const happened::not_hedged& at) const noexcept {
        return {"not_hedged", to_string(at.why)};
    }
    happening_words operator()(const happened::not_rescued& at) const noexcept {
        return {"not_rescued", to_string(at.why)};
    }
    happening_words operator()(const happened::overdue&) const noexcept { return {"overdue", {}}; }
    happening_words operator()(const happened::committed& at) const noexcept { return {"committed", at.why}; }
    happening_words operator()(const happened::holding& at) const noexcept { return {"holding", to_string(at.why)}; }
    happening_words operator()(const happened::held& at) const noexcept {
        return {"held", at.went_on ? "went_on" : "gave_up"};
    }
    happening_words operator()(const happened::pacing&) const noexcept { return {"pacing", "quota"}; }
    happening_words operator()(const happened::paced& at) const noexcept {
        using enum happened::paced::end;
        return {"paced", at.how == went_on ? "went_on" : at.how == went_through ? "went_through" : "gave_up"};
    }
    happening_words operator()(const happened::gave_up& at) const noexcept { return {"gave_up", at.why}; }
    happening_words operator()(const happened::ended& at) const noexcept { return {to_string(at.result), at.why}; }
    happening_words operator()(const happened::faulted& at) const noexcept { return {"chaos", to_string(at.with)}; }
    happening_words operator()(const happened::upcast& at) const noexcept { return {"upcast", to_string(at.how)}; }
    happening_words operator()(const happened::unread&) const noexcept { return {"unread", "content_encoding"}; }
    happening_words operator()(const happened::resumed& at) const noexcept { return {"stream", to_string(at.how)}; }
    happening_words operator()(const happened::step_skipped& at) const noexcept {
        return {"fallback_skipped", to_string(at.why)};
    }
    happening_words operator()(const happened::step_taken& at) const noexcept {
        return {"fallback", to_string(at.step)};
    }
    happening_words operator()(const happened::ladder_exhausted&) const noexcept { return {"fallback_exhausted", {}}; }
};
} // namespace

happening_words words_of(const any_happening& what) noexcept { return std::visit(naming{}, what); }

} // namespace evenkeel::telemetry
