#pragma once
// The transport of one attempt that suffers a fault: wraps the real one, and its exchanges the real exchanges. Above it
// nobody knows; the policies see an upstream that behaves like that. A fault that spares the upstream opens no
// connection. An exchange that was tampered with is closed when its message is over, never pooled.

#include "policies/chaos.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/wire/error_body.hpp"

#include <memory>

namespace evenkeel::net {

struct chaos_answer_context {
    wire::dialect dialect = wire::dialect::generic; // of the errors it makes up
    bool head_request = false;
};

class chaos_transport final : public transport {
public:
    // Both outlive it; it outlives its exchanges' attempt.
    chaos_transport(loop& worker, transport& wrapped, chaos_injection what, chaos_answer_context context)
        : loop_(worker), wrapped_(wrapped), injection_(std::move(what)), context_(context) {}

    [[nodiscard]] std::unique_ptr<exchange> reuse(const std::shared_ptr<const config::upstream>& to) override;
    [[nodiscard]] task<open_result> open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                         steady_time deadline, cancel_source& cancel) override;

private:
    [[nodiscard]] std::unique_ptr<exchange> wrap(std::unique_ptr<exchange> real) const;

    loop& loop_;
    transport& wrapped_;
    chaos_injection injection_;
    chaos_answer_context context_;
};

} // namespace evenkeel::net
