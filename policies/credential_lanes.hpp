#pragma once
// Which credential of its upstream an attempt takes. `fill_first`: the first of the list that may be asked, so that the
// others are there when it is spent, and what the provider has cached for it is found again. `spread`: the one with
// the fewest attempts in flight, ties drawn.
//
// Who may be asked: whom the provider has not told to rest for this model, who is not dead and whom no operator keeps
// back; never again in one request what that request was refused for good. A dead one whose time has come is asked by
// one request, and only by one that could be sent elsewhere afterwards, unless there is nothing else.
//
// `quota_scope: upstream`: all of them draw on one quota, so a limit and spent money hold for all; that one is not
// accepted stays its own.
//
// Where quotas are paced (pace.hpp), who would have to wait for one takes another; where it would for each, it waits
// for the one that has something for it first.
//
// Immutable: those of an upstream in one configuration. What they have in common with those of another
// (credential_lane) is kept by name.

#include "policies/cooldown.hpp"
#include "policies/credential_lane.hpp"
#include "policies/outcome.hpp"
#include "policies/pace.hpp"
#include "policies/time.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace evenkeel {

enum class credential_order : unsigned char { fill_first, spread };
enum class quota_scope : unsigned char { credential, upstream };

using lane_index = std::uint8_t; // place in the list
inline constexpr std::size_t most_credentials = 64;
inline constexpr lane_index no_lane = 255;

class lane_set {
public:
    void add(lane_index at) noexcept { bits_ |= std::uint64_t{1} << at; }
    [[nodiscard]] bool has(lane_index at) const noexcept { return (bits_ >> at & 1U) != 0; }
    [[nodiscard]] lane_set operator|(lane_set other) const noexcept {
        other.bits_ |= bits_;
        return other;
    }

private:
    std::uint64_t bits_ = 0;
};

class credential_lanes {
public:
    struct wish {
        std::uint64_t model = 0;
        lane_set never{};                // it was refused this request for good
        lane_set rather_not{};           // it was limited for this request, or is being asked beside
        bool can_follow = false;         // who is refused can be sent elsewhere
        bool pressed = false;            // there is nowhere else to go
        bool waited = false;             // ... and it has waited for long enough: only an operator's word holds it
        const pace_wish* pace = nullptr; // null: it is not paced
    };
    struct refusal {
        steady_time again;
        bool avoidable = false;   // who has nowhere else to go is let through
        bool by_operator = false; // a person keeps all of them back
        bool paced = false;       // their quotas have nothing for it just now
    };
    // One that is taken; given back when this goes.
    class place {
    public:
        place() noexcept = default;
        place(credential_lane& lane, lane_index at) noexcept : lane_(&lane), at_(at) { lane.enter(); }
        place(place&& other) noexcept : lane_(std::exchange(other.lane_, nullptr)), at_(other.at_) {}
        place& operator=(place&& other) noexcept {
            std::swap(lane_, other.lane_);
            std::swap(at_, other.at_);
            return *this;
        }
        ~place() {
            if (lane_ != nullptr) lane_->leave();
        }
        explicit operator bool() const noexcept { return lane_ != nullptr; }
        [[nodiscard]] lane_index at() const noexcept { return lane_ != nullptr ? at_ : no_lane; }

    private:
        credential_lane* lane_ = nullptr;
        lane_index at_ = no_lane;
    };

    // `common`: of quota_scope upstream, what limits all of them; else null. `paces`: their quotas by place, or none.
    credential_lanes(std::vector<std::shared_ptr<credential_lane>> lanes, credential_order order,
                     std::shared_ptr<cooldown> common, std::vector<std::shared_ptr<pace>> paces = {})
        : lanes_(std::move(lanes)), order_(order), common_(std::move(common)), paces_(std::move(paces)) {}

    // Empty: one may be taken. `u` in [0, 1) draws among equals.
    [[nodiscard]] std::optional<refusal> look(const wish& wanted, double u, steady_time now) const;
    // ... and is.
    [[nodiscard]] std::optional<refusal> take(const wish& wanted, double u, steady_time now, place& into) const {
        pace_pass none;
        return take(wanted, u, now, into, none);
    }
    // ... of its quota as well, where that is paced; who is to wait for one stands in its line then.
    [[nodiscard]] std::optional<refusal> take(const wish& wanted, double u, steady_time now, place& into,
                                              pace_pass& pass) const;
    // Another one than these could be asked at once.
    [[nodiscard]] bool any_free(std::uint64_t model, lane_set but, steady_time now) const;

    // What an attempt with one of them came to. A limit, spent money or a refused credential; until when that holds.
    [[nodiscard]] steady_time refused(lane_index at, std::uint64_t model, outcome_kind why,
                                      std::optional<duration> hint, double u, steady_time now) const;
    [[nodiscard]] bool answered(lane_index at, std::uint64_t model, steady_time sent, steady_time now) const noexcept;
    [[nodiscard]] bool refused_to_several(lane_index at, std::uint64_t caller, steady_time now) const noexcept {
        return lanes_[at]->refused_to_several(caller, now);
    }

    [[nodiscard]] std::size_t size() const noexcept { return lanes_.size(); }
    [[nodiscard]] credential_lane::summary report(lane_index at, steady_time now) const;
    [[nodiscard]] std::vector<paced_quota::summary> report_pace(lane_index at, steady_time now) const {
        return paces_.empty() ? std::vector<paced_quota::summary>{} : paces_[at]->report(now);
    }

private:
    [[nodiscard]] lane_index count() const noexcept { return static_cast<lane_index>(lanes_.size()); }
    [[nodiscard]] std::optional<refusal> choose(const wish& wanted, double u, steady_time now, bool takes,
                                                lane_index& found) const;
    [[nodiscard]] std::shared_ptr<paced_quota> quota_of(lane_index at, const wish& wanted, steady_time now) const;
    [[nodiscard]] lane_index pick(std::span<const lane_index> among, double u) const noexcept;
    [[nodiscard]] credential_lane::outlook look_at(lane_index at, std::uint64_t model, steady_time now) const;

    std::vector<std::shared_ptr<credential_lane>> lanes_;
    credential_order order_;
    std::shared_ptr<cooldown> common_;
    std::vector<std::shared_ptr<pace>> paces_;
};

// What says something of the credential alone: another one may well be served.
[[nodiscard]] constexpr bool is_of_credential(outcome_kind kind) noexcept {
    return kind == outcome_kind::rate_limited || kind == outcome_kind::quota || kind == outcome_kind::credential;
}

} // namespace evenkeel
