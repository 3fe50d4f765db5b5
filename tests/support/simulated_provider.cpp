// The simulated provider as a program, for tests in other languages and for trying things by hand.

#include "proxy/provider/simulated_provider.hpp"
#include "proxy/provider/script.hpp"

#include <CLI/CLI.hpp>

#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    using namespace evenkeel::provider;

    CLI::App app{"A simulated LLM provider. Every misbehaviour is scripted: see proxy/provider/script.hpp"};
    std::string listen = "127.0.0.1:0";
    std::uint16_t control_port = 0;
    std::vector<std::string> tls;
    std::string client_ca, port_file;
    provider_options options;
    app.add_option("--listen", listen, "ADDRESS:PORT; port 0 takes a free one");
    app.add_option("--control", control_port, "port of the control API alone; 0 takes a free one");
    app.add_option("--tls", tls, "certificate chain and key, PEM files")->expected(2);
    app.add_option("--tls-client-ca", client_ca, "demand a client certificate of this CA");
    app.add_option("--seed", options.seed, "of every draw");
    app.add_option("--script", options.script, "for requests without a script of their own");
    app.add_flag("!--no-records", options.record, "keep counters only");
    app.add_option("--port-file", port_file, "write the two port numbers there, one a line");
    CLI11_PARSE(app, argc, argv);

    const auto colon = listen.rfind(':');
    if (colon == std::string::npos) {
        std::cerr << "--listen: ADDRESS:PORT is wanted\n";
        return 2;
    }
    options.host = listen.substr(0, colon);
    options.port = static_cast<std::uint16_t>(std::atoi(listen.c_str() + colon + 1));
    options.control_port = control_port;
    if (!tls.empty()) options.tls = provider_tls{tls[0], tls[1], client_ca};

    // As many connections as the system lets one process have.
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &files);
    }
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t ending{};
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr); // inherited by the provider's thread; sigwait takes them here

    try {
        simulated_provider upstream{options};
        if (!port_file.empty()) std::ofstream{port_file} << upstream.port() << "\n" << upstream.control_port() << "\n";
        std::cout << "listening on " << options.host << ":" << upstream.port() << std::endl;
        int which = 0;
        sigwait(&ending, &which);
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
    return 0;
}
