#pragma once
// How one request fared, on sockets or in virtual time.

#include "proxy/model/judge.hpp"

#include <cstdint>

namespace evenkeel::model {

// Times in seconds of the scenario, from the moment the request was due, so that one that had to wait for anything is
// charged for it; the deadline, where it was not answered well.
struct sample {
    double due = 0;
    double seconds = 0;
    double first_token = 0;     // of a stream
    std::uint16_t attempts = 0; // that reached a server
    verdict how = verdict::error;
    bool stream = false;
};

} // namespace evenkeel::model
