#pragma once
// Tells one party that its work is no longer wanted. The party that waits hangs in a hook; request() calls it at once,
// and a hook put in afterwards is called at once as well. One worker's; no allocation.

namespace evenkeel::net {

class cancel_source {
public:
    cancel_source() = default;
    cancel_source(const cancel_source&) = delete;
    cancel_source& operator=(const cancel_source&) = delete;

    // Runs `function(context)` on request(); while set, one hook at a time. The scope takes it out again.
    class hook {
    public:
        using function_type = void (*)(void*);
        hook(cancel_source& source, function_type function, void* context) : source_(&source) {
            source.function_ = function;
            source.context_ = context;
            if (source.requested_) function(context);
        }
        ~hook() { source_->function_ = nullptr; }
        hook(const hook&) = delete;
        hook& operator=(const hook&) = delete;

    private:
        cancel_source* source_;
    };

    void request() {
        if (requested_) return;
        requested_ = true;
        if (function_ != nullptr) function_(context_);
    }
    [[nodiscard]] bool requested() const noexcept { return requested_; }

private:
    hook::function_type function_ = nullptr;
    void* context_ = nullptr;
    bool requested_ = false;
};

} // namespace evenkeel::net
