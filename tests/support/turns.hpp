#pragma once
// Who comes first of what happens at the same instant. Completions of scripted connections wait for a drawn number of
// turns of the loop, so that every order of them that the sockets of a real worker could give comes up at some seed;
// and the order that came up is summed, so that a test can say how many different ones it saw.

#include "proxy/net/io.hpp"
#include "proxy/net/loop.hpp"

#include <boost/asio/defer.hpp>

#include <cstdint>
#include <random>
#include <utility>

namespace evenkeel::test {

class turns {
public:
    // Of one completion in two, up to `most` turns; 0: first come, first served.
    turns(std::uint32_t seed, unsigned most) : random_(seed), most_(most) {}

    [[nodiscard]] unsigned draw() {
        if (most_ == 0 || random_() % 2 == 0) return 0;
        return 1 + static_cast<unsigned>(random_() % most_);
    }
    // `who` has done `what`.
    void note(std::uint32_t who, char what) noexcept {
        ++steps_;
        order_ = (order_ ^ (std::uint64_t{who} << 8U | static_cast<unsigned char>(what))) * 0x100000001b3U; // FNV-1a
    }
    [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
    [[nodiscard]] std::uint64_t order() const noexcept { return order_; }

private:
    std::mt19937 random_;
    unsigned most_;
    std::uint64_t steps_ = 0, order_ = 0xcbf29ce484222325U;
};

// Which connection of whose turns; without any, completions come in the order they were finished.
struct turn_taker {
    turns* of = nullptr;
    std::uint32_t who = 0;

    // Completes `done` through the queue of the loop, in its turn.
    void complete(net::loop& loop, net::completion<net::io_result>&& done, net::io_result result, char what) const;
    void note(char what) const noexcept {
        if (of != nullptr) of->note(who, what);
    }

private:
    struct waiting;
};

struct turn_taker::waiting {
    net::loop* loop;
    turn_taker whose;
    unsigned left;
    char what;
    net::io_result result;
    net::completion<net::io_result> done;

    void operator()() {
        if (left == 0) {
            whose.note(what);
            return std::move(done)(result);
        }
        --left;
        const auto where = loop->executor();
        boost::asio::defer(where, std::move(*this));
    }
};

inline void turn_taker::complete(net::loop& loop, net::completion<net::io_result>&& done, net::io_result result,
                                 char what) const {
    boost::asio::defer(loop.executor(),
                       waiting{&loop, *this, of != nullptr ? of->draw() : 0, what, result, std::move(done)});
}

} // namespace evenkeel::test
