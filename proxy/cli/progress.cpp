#include "proxy/cli/progress.hpp"

#include "proxy/cli/terminal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
constexpr std::chrono::milliseconds silent{2000}, between{200};
} // namespace

progress::progress() {
    if (!look_of(STDERR_FILENO).terminal) return;
    drawing_ = std::thread([this] {
        std::unique_lock lock(mutex_);
        bool drawn = false;
        for (auto wait = silent; !ending_.wait_for(lock, wait, [this] { return ended_; }); wait = between) {
            draw();
            drawn = true;
        }
        if (drawn) std::cerr << "\r\x1b[K" << std::flush;
    });
}

void progress::at(std::size_t done, std::size_t of) noexcept {
    of_ = of;
    done_ = done;
}

void progress::end() {
    {
        const std::scoped_lock lock(mutex_);
        ended_ = true;
    }
    ending_.notify_all();
    if (drawing_.joinable()) drawing_.join();
}

void progress::draw() const {
    const std::size_t of = std::max<std::size_t>(of_, 1), done = std::min<std::size_t>(done_, of);
    constexpr std::size_t width = 40;
    const std::size_t full = done * width / of;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began_);
    std::cerr << fmt::format("\r\x1b[K  [{}{}] {:>3} %  {} s", std::string(full, '='), std::string(width - full, ' '),
                             done * 100 / of, seconds.count())
              << std::flush;
}

} // namespace evenkeel::cli
