#include "proxy/cli/admin_place.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/live_screen.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/cli/top_view.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
using steady = std::chrono::steady_clock;

// Empty: `why` says it.
std::optional<top_document> look_at(const admin_place& at, std::chrono::milliseconds within, std::string& why) {
    try {
        admin_answer told = ask_admin(at, "/-/overview", within);
        const bool plain = told.status == 404; // of a version that has no overview
        if (plain) told = ask_admin(at, "/health", within);
        why = told.problem;
        if (why.empty() && told.status != 200) why = fmt::format("the proxy answered {}", told.status);
        if (!why.empty()) return std::nullopt;
        top_document out = plain ? read_health(told.body) : read_overview(told.body);
        const admin_answer requests = ask_admin(at, "/-/requests?disturbed&limit=20", within);
        if (requests.status == 200) out.requests = read_requests(requests.body); // else `journal` is off
        return out;
    } catch (const std::exception&) {
        why = "what answers there is no evenkeel";
        return std::nullopt;
    }
}

// False: an end is asked for.
bool obey(const live_screen::input& key, top_choice& how, std::size_t page) {
    using what = live_screen::key;
    if (how.typing) {
        if (key.what == what::character) how.filter += key.character;
        if (key.what == what::erase && !how.filter.empty()) how.filter.pop_back();
        if (key.what == what::escape) how.filter.clear();
        if (key.what == what::escape || key.what == what::enter) how.typing = false;
        return true;
    }
    const auto scroll = [&](std::ptrdiff_t by) {
        how.scrolled =
            static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(how.scrolled) + by));
    };
    const auto whole = static_cast<std::ptrdiff_t>(page);
    switch (key.what) {
    case what::up: scroll(-1); break;
    case what::down: scroll(1); break;
    case what::page_up: scroll(-whole); break;
    case what::page_down: scroll(whole); break;
    case what::escape: how.filter.clear(); break;
    case what::character:
        if (key.character == 'q') return false;
        if (key.character == 's') how.order = after(how.order);
        if (key.character == '/') how.typing = true;
        if (key.character == 'j') scroll(1);
        if (key.character == 'k') scroll(-1);
        if (key.character == ' ') scroll(whole);
        if (key.character == 'b') scroll(-whole);
        break;
    case what::none:
    case what::enter:
    case what::erase: break;
    }
    return true;
}

int live(const admin_place& at, top_choice how) {
    int ended = 0;
    {
        live_screen screen;
        const auto every = std::chrono::milliseconds{static_cast<std::int64_t>(how.every_s * 1000)};
        // Keys wait for an answer that takes longer, so it may not take long.
        constexpr std::chrono::milliseconds within{1000};
        top_document shown;
        auto next = steady::now();
        for (bool goes_on = true; goes_on && (ended = live_screen::ended_by()) == 0;) {
            if (steady::now() >= next) {
                how.problem.clear();
                if (auto seen = look_at(at, within, how.problem)) shown = std::move(*seen);
                next = steady::now() + every;
            }
            const look now = look_of(STDOUT_FILENO);
            screen.draw(screen_of(shown, how, now.width, now.height, now.colour));
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - steady::now());
            goes_on = obey(screen.wait(std::clamp(left, std::chrono::milliseconds{0}, every)), how, now.height / 2);
        }
    }
    if (ended == 0) return 0;
    // As who started it would be told if it had not been caught.
    std::signal(ended, SIG_DFL);
    ::raise(ended);
    return 1;
}
} // namespace

int top(const top_choices& choice) {
    std::string why;
    const auto at = find_admin(choice.admin, choice.config, why);
    if (!at) return wrong_usage("top", why);
    const look now = look_of(STDOUT_FILENO);
    const top_choice how{.where = fmt::format("{}:{}", at->host, at->port), .every_s = choice.every_s};
    if (!choice.once && now.terminal && ::isatty(STDIN_FILENO) == 1) return live(*at, how);
    const auto seen = look_at(*at, std::chrono::seconds{10}, why);
    if (!seen) {
        std::cerr << telemetry::wrapped("evenkeel top: " + why);
        return 1;
    }
    std::cout << page_of(*seen, how, now.width == 0 ? 80 : now.width, now.colour);
    return 0;
}

} // namespace evenkeel::cli
