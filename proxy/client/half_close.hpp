#pragma once
// A client whose FIN came before its answer: it has left, and its upstream work is to be cancelled at once (tokens cost
// money); or it has only said that it sends no more (shutdown(SHUT_WR): nc -N, some HTTP/1.0 clients, hand-written
// ones) and reads on. Others settle for one of the two: nginx, Envoy and Go's server take every FIN for a departure,
// HAProxy without `abortonclose` takes none for one. Here:
//
// - The kernel is asked where it knows (peer_end.hpp): at once, then once a second, since a half-closed client that
//   closes altogether sends nothing that would tell. So a sidecar's client that leaves is noticed as fast as ever, and
//   one that waits is sent nothing but its answer.
// - A peer on another machine is sent an interim answer, `100 Continue`: one that has closed resets the connection
//   within a round trip. RFC 9110 15.2: a client reads any number of interim answers, and discards (15.2.1) a 100 that
//   it did not ask for. Node's fetch takes an unasked 100 for an error and Python's http.client takes any other 1xx for
//   the answer itself; neither half-closes: whoever of them gets to this point has left. Repeated at growing distances,
//   for whatever stands between and passes a FIN on before it learns more. Not to HTTP/1.0, not before the request is
//   whole, and not once anything of the answer is out: from then on each write asks the same question.
// - Where neither is possible, the client is taken to wait, and the first write tells.
//
// Exists from the FIN on; looks while a request is being served. One worker's.

#include "proxy/net/client_stream.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/peer_end.hpp"
#include "proxy/net/timer_queue.hpp"

#include <functional>

namespace evenkeel::request {

class half_close final : private net::timer_entry {
public:
    struct owner {
        std::function<void()> gone;          // told at most once a look; may destroy this
        std::function<bool()> takes_interim; // an interim answer may be written now
        net::peer_end (*kernel)(int descriptor) = net::look_at_peer;
    };
    half_close(net::loop& worker, net::client_stream& stream, owner whose);

    void look(); // now, and again until stop()
    void stop() noexcept { cancel(); }

private:
    void on_timer() override { look(); }

    net::loop& loop_;
    net::client_stream& stream_;
    owner owner_;
    duration pause_; // between interim answers
    steady_time next_interim_{};
};

} // namespace evenkeel::request
