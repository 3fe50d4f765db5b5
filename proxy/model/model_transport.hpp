#pragma once
// The simulated provider, where the proxy expects its connections: an exchange takes the bytes of a request and answers
// with bytes of HTTP when the work clock of its server says so. Which request it is, and the how-many-th attempt at it,
// it reads from the request itself and from its own count.
//
// Not modelled: names, TCP, TLS (an exchange is open at once) and the reuse of connections (each attempt has a new one;
// recycling closes it). Time on the wire is part of the times of the model.
//
// One simulation's; outlives every exchange.

#include "proxy/model/answer_text.hpp"
#include "proxy/model/scenario_time.hpp"
#include "proxy/model/traffic.hpp"
#include "proxy/model/work_clock.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"

#include <boost/intrusive/list.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace evenkeel::model {

class model_transport final : public net::transport {
public:
    model_transport(net::loop& worker, const traffic& what, scenario_time clock);
    ~model_transport() override;

    // Which server an endpoint is; the first one unless told.
    void place(const config::upstream& endpoint, int server) { servers_by_name_[name_of(endpoint)] = server; }

    [[nodiscard]] net::task<net::open_result> open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                                   steady_time deadline, net::cancel_source& cancel) override;
    // For a client without a proxy; null: refused.
    [[nodiscard]] std::unique_ptr<net::exchange> connect(int server);

    // Whose request came.
    [[nodiscard]] unsigned attempts(unsigned request) const noexcept { return attempts_[request]; }
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; } // connections
    [[nodiscard]] std::size_t open_now() const noexcept { return open_; }

private:
    class model_exchange;
    class cut;
    // A work clock and the timer that drives it.
    class clocked final : private net::timer_entry {
    public:
        clocked(model_transport& owner, capacity of, std::vector<speed_step> steps);
        ~clocked() override = default;
        work_clock& up_to_date(); // at the loop's now
        void arm();               // after a change
    private:
        void on_timer() override;
        model_transport& owner_;
        work_clock clock_;
    };
    using exchange_list = boost::intrusive::list<model_exchange, boost::intrusive::constant_time_size<false>>;

    net::loop& loop_;
    const traffic& traffic_;
    scenario_time time_;
    answer_texts texts_;
    [[nodiscard]] static std::string name_of(const config::upstream& endpoint) {
        return endpoint.name + '\n' + endpoint.endpoint.authority;
    }
    std::unordered_map<std::string, int> servers_by_name_;
    std::vector<std::uint16_t> attempts_; // by request; stops counting at 65,535
    std::uint64_t refused_ = 0;
    std::size_t open_ = 0;
    std::unique_ptr<exchange_list> exchanges_;
    std::vector<std::unique_ptr<clocked>> servers_;
    clocked undisturbed_; // of what uses nothing of a server
    std::unique_ptr<cut> cut_;
};

} // namespace evenkeel::model
