#pragma once
// A client that asks the simulated provider without anything between them: one attempt, read to its end. What the proxy is
// compared with.

#include "proxy/net/io.hpp"
#include "proxy/net/transport.hpp"

#include <string>
#include <string_view>

namespace evenkeel::simulate {

struct direct_answer {
    int status = 0;     // 0: none came
    bool whole = false; // its framing came to its end
};

// Called with the body so far, whenever more has come.
class direct_listener {
public:
    virtual ~direct_listener() = default;
    virtual void on_body(std::string_view so_far) = 0;
};

// `body` gets what came, framing removed. Ends early when somebody closes `over`, which outlives the call.
[[nodiscard]] net::task<direct_answer> ask_directly(net::exchange& over, std::string_view request, std::string& body,
                                                    direct_listener& listener);

} // namespace evenkeel::simulate
