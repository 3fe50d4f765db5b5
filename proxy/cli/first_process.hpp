#pragma once
// As the first process of a container (process 1) a program is not killed by a signal that it has no handler for, and
// gets the orphans of all others as its children.

namespace evenkeel::cli {

// SIGTERM and SIGINT end it, until a command has something better to do with them; nobody's end makes a zombie.
void be_first_process();

} // namespace evenkeel::cli
