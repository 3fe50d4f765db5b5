#pragma once
// One request over one exchange, its answer read to its end, and no policy: for a probe of an idle connection, and for
// a client of the simulated provider with nothing between them.

#include "proxy/net/transport.hpp"

#include <functional>
#include <string_view>

namespace evenkeel::request {

struct plain_answer {
    int status = 0;        // 0: none came, or none that is valid HTTP/1.1
    bool whole = false;    // its framing came to its end; never where only the end of the connection would tell
    bool reusable = false; // whole, nothing came behind it, and the server keeps the connection ...
    duration keep_alive{}; // ... for so long; 0: it did not say
};

// `request` is sent as it is. `on_body` gets the body piece by piece, framing removed; false: no more of it is wanted.
// Ends early when somebody closes `over`, and closes it itself where its framing is broken. Both outlive the call.
[[nodiscard]] net::task<plain_answer> ask_plainly(net::exchange& over, std::string_view request,
                                                  std::function<bool(std::string_view)> on_body);

} // namespace evenkeel::request
