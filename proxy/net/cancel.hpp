#pragma once
// Tells whoever waits that work is no longer wanted. Everybody who waits hangs in a hook of his own, so that nobody's
// hook takes the place of another's; request() calls each once, and a hook put in afterwards is called at once. One
// worker's; no allocation.

#include <boost/intrusive/list.hpp>

namespace evenkeel::net {

class cancel_source {
public:
    cancel_source() = default;
    cancel_source(const cancel_source&) = delete;
    cancel_source& operator=(const cancel_source&) = delete;

    // Runs `function(context)` on request(), at most once. Leaves the source with its scope, in any order; may outlive
    // it.
    class hook : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    public:
        using function_type = void (*)(void*);
        hook(cancel_source& source, function_type function, void* context) : function_(function), context_(context) {
            if (source.requested_) {
                function(context);
            } else {
                source.hooks_.push_back(*this);
            }
        }
        hook(const hook&) = delete;
        hook& operator=(const hook&) = delete;

    private:
        friend class cancel_source;
        function_type function_;
        void* context_;
    };

    void request() {
        requested_ = true;
        // What is called may put hooks in, which are called by themselves, or take out any of these.
        while (!hooks_.empty()) {
            hook& one = hooks_.front();
            hooks_.pop_front();
            one.function_(one.context_);
        }
    }
    [[nodiscard]] bool requested() const noexcept { return requested_; }

    // Whoever does the work says so while it only stands in a line of ours.
    void note_queued(bool is) noexcept { queued_ = is; }
    [[nodiscard]] bool queued() const noexcept { return queued_; }

private:
    boost::intrusive::list<hook, boost::intrusive::constant_time_size<false>> hooks_;
    bool requested_ = false, queued_ = false;
};

} // namespace evenkeel::net
