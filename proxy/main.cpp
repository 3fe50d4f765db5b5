// Parses the command line; the commands stand in proxy/cli.

#include "proxy/cli/commands.hpp"
#include "proxy/cli/completion.hpp"
#include "proxy/cli/first_process.hpp"
#include "proxy/cli/help_text.hpp"
#include "proxy/cli/mistyped.hpp"

#include <CLI/CLI.hpp>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>
#include <unistd.h>

int main(int argc, char** argv) {
    using namespace evenkeel::cli;
#if defined(__GLIBC__)
    // Large bodies lie apart and go back to the kernel with their end. By default the first one that is freed moves the
    // threshold above its size, and from then on a burst of answers stays resident as holes in the heap.
    // tests/bench/memory shows it.
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    // Small memory comes from the free lists of each thread (free_lists.cpp). What is left to malloc is large and rare,
    // and an arena for each thread would only keep its holes apart: up to 96 MiB instead of 89 under the uploads there.
    mallopt(M_ARENA_MAX, 1);
#endif
    CLI::App app{"evenkeel: a resilience proxy between an application and its LLM APIs", "evenkeel"};
    app.require_subcommand(1);
    app.formatter(std::make_shared<narrow_help>()); // of the commands too
    app.set_help_all_flag("--help-all", "Help for every command");
    app.set_version_flag("-V,--version", version_text(), "Version, compiler and libraries");

    config_choice choice;
    int exit_code = 0;
    const auto with_file = [&](CLI::App* command) {
        command->add_option("FILE,-c,--config", choice.file, "Configuration file (YAML)")->required();
        return command;
    };

    run_choice running;
    auto* run_command = app.add_subcommand("run", "Serve; SIGHUP reloads the file, SIGUSR1 reopens the logs, SIGUSR2 "
                                                  "upgrades, SIGTERM drains, a second one ends at once");
    run_command->add_option("FILE,-c,--config", running.file, "Configuration file (YAML)");
    run_command->add_option("--to", running.to,
                            "Without a file: the URL that everything goes to; the file that this "
                            "means is printed on stderr");
    run_command
        ->add_option("--then", running.then,
                     "URL=VARIABLE that takes over where those before it fail, with the key that the environment "
                     "variable holds; URL alone takes none; may be repeated")
        ->allow_extra_args(false);
    run_command->add_option("--listen", running.listen, "With --to: where, instead of 127.0.0.1:8080");
    run_command->add_option("--admin", running.admin, "With --to: where, instead of 127.0.0.1:9901; or off");
    run_command->add_flag("--print", running.print, "With --to: print that file on stdout, and run nothing");
    running.command.assign(argv, argv + argc);
    run_command->callback([&] { exit_code = run(running); });

    init_choice starting;
    auto* init_command =
        app.add_subcommand("init", "Write a configuration file for known providers; several take over in that order");
    init_command->add_option("PROVIDER", starting.providers, "Names of them; - prints the file");
    init_command->add_option("-o,--output", starting.file, "The file; - prints it")->capture_default_str();
    init_command->add_flag("--force", starting.force, "Write over a file that is there");
    init_command->footer(init_footer());
    init_command->callback([&] { exit_code = init(starting); });

    auto* check_command = with_file(
        app.add_subcommand("check", "Report every problem of a configuration file; exit 0 ok, 1 errors, 2 usage"));
    check_command->add_flag("--strict", choice.strict, "Warnings fail too");
    check_command->add_flag(
        "--assume-env", choice.assume_env,
        "Take each ${env:...} that is not set as set, and say which: for a machine that has no keys");
    std::string format = "text";
    check_command->add_option("--format", format, "text or json")->check(CLI::IsMember({"text", "json"}));
    check_command->callback([&] {
        choice.json = format == "json";
        exit_code = check(choice);
    });

    try_choice tried;
    auto* try_command = app.add_subcommand(
        "try",
        "One tiny call to each upstream of each route, as the proxy would send it; exit 0 if all answer, else 1");
    try_command->add_option("FILE,-c,--config", tried.file, "Configuration file (YAML)")->required();
    try_command->add_option("--route", tried.route, "Only this route");
    try_command->add_option("--model", tried.model,
                            "What the application asks for; default: as the file or the "
                            "provider has it");
    try_command->add_option("--header", tried.fields, "A field of the application's, 'name: value'; may be repeated")
        ->allow_extra_args(false);
    try_command->add_option("--timeout", tried.timeout_s, "Of each call, in seconds")
        ->check(CLI::Range(0.1, 600.0))
        ->capture_default_str();
    try_command->add_flag("--dry-run", tried.dry_run, "Say what would be sent, and send nothing");
    try_command->footer("\nEach call asks for one token. Where an upstream has no key of its own, that of its "
                        "provider is taken from the environment (OPENAI_API_KEY and the like), or what "
                        "--header says. No credential is printed.\n");
    try_command->callback([&] { exit_code = try_out(tried); });

    auto* config_command = app.add_subcommand("config", "Look at the configuration");
    config_command->require_subcommand(1);
    auto* show_command = with_file(config_command->add_subcommand(
        "show", "The effective configuration, each value with its origin; secrets masked"));
    show_command->add_option("--route", choice.route, "Only this route");
    show_command
        ->add_option("--set", choice.overrides,
                     "KEY.KEY=VALUE instead of the file's, like routes.chat.timeout.total=30s; may be repeated")
        ->allow_extra_args(false); // what follows may be FILE
    std::string show_format = "yaml";
    show_command->add_option("--format", show_format, "yaml or json")->check(CLI::IsMember({"yaml", "json"}));
    show_command->callback([&] {
        choice.json = show_format == "json";
        exit_code = config_show(choice);
    });

    std::string health_admin, health_config;
    auto* health_command = app.add_subcommand(
        "health", "How a running proxy fares, as a table; exit 0 healthy, 1 nothing can be served, or nobody answers");
    health_command->add_option("--admin", health_admin,
                               "Where the proxy's admin pages are; default: as -c says, or http://127.0.0.1:9901");
    health_command->add_option("-c,--config", health_config, "Configuration file (YAML)");
    health_command->footer("\nThe admin token, where one is needed, is that of the file, or EVENKEEL_ADMIN_TOKEN.\n");
    health_command->callback([&] { exit_code = health(health_admin, health_config); });
    top_choices looked;
    auto* top_command =
        app.add_subcommand("top", "A running proxy, live: routes, upstreams, circuits and rests with their "
                                  "reasons, the last disturbed requests");
    top_command->add_option("--admin", looked.admin,
                            "Where the proxy's admin pages are; default: as -c says, or http://127.0.0.1:9901");
    top_command->add_option("-c,--config", looked.config, "Configuration file (YAML)");
    top_command->add_option("--interval", looked.every_s, "Seconds between two looks")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    top_command->add_flag("--once", looked.once, "Print it once; so it is where the output is no terminal, too");
    top_command->footer("\nKeys: q quit; s sort: as in the file, busiest, failing, slowest; / filter by a part "
                        "of a name; arrows, j, k, space, b scroll.\n"
                        "The admin token, where one is needed, is that of the file, or EVENKEEL_ADMIN_TOKEN.\n");
    top_command->callback([&] { exit_code = top(looked); });
    app.add_subcommand("reference", "The reference file: every key with its default, range and price")->callback([&] {
        exit_code = reference();
    });
    app.add_subcommand("schema", "JSON Schema (draft-07) of the configuration file, for editors")->callback([&] {
        exit_code = schema();
    });
    app.add_subcommand("metrics", "The table of all metrics, in Markdown")->callback([&] { exit_code = metrics(); });
    evenkeel::demo::options demo_choice;
    auto* demo_command = app.add_subcommand(
        "demo", "Run in front of a simulated provider, compare, and stay up to be tried; all on loopback");
    demo_command->add_flag("--once", demo_choice.once, "End after the table");
    demo_command->add_option("--seed", demo_choice.seed, "Of every draw")->capture_default_str();
    demo_command->add_option("--requests", demo_choice.requests, "On each side")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    demo_command->add_option("--speed", demo_choice.speed, "So many times faster than real time")
        ->check(CLI::Range(0.1, 200.0))
        ->capture_default_str();
    demo_command->add_option("--listen", demo_choice.listen, "Where the proxy listens")->capture_default_str();
    demo_command->add_option("--admin", demo_choice.admin, "Where its metrics and health are")->capture_default_str();
    demo_command->add_flag("--print-config", demo_choice.print_config, "Print the configuration it runs with, and end");
    demo_command->callback([&] { exit_code = demo(demo_choice); });

    explain_choice explained;
    auto* explain_command = app.add_subcommand(
        "explain", "What happened to a request, and why; or what would happen to one, by a configuration file");
    explain_command->add_option(
        "id", explained.id,
        "x-request-id of a request that was sent; or a word you saw, as circuit_open or 503: why, and what to do");
    explain_command->add_option("--admin", explained.admin,
                                "Where the proxy's admin pages are; default: as -c says, or http://127.0.0.1:9901");
    explain_command->add_option("-c,--config", explained.config, "Configuration file (YAML)");
    explain_command->add_option("--path", explained.path, "Path, and query, of a request that is not sent");
    explain_command->add_option("--method", explained.method, "Its method")->capture_default_str();
    explain_command->add_option("--header", explained.fields, "A field of it, 'name: value'; several times for more");
    explain_command->add_option("--body", explained.body_file, "File with its body");
    explain_command->add_option("--status", explained.status, "What the upstream that is asked first answers")
        ->check(CLI::Range(200, 599));
    explain_command->add_option("--body-file", explained.answer_file, "File with the body of that answer");
    explain_command->add_option("--retry-after", explained.retry_after, "Retry-After of that answer");
    explain_command->add_option("--fault", explained.fault, "Instead of an answer: silent, reset, or unreachable")
        ->check(CLI::IsMember({"silent", "reset", "unreachable"}));
    explain_command->add_flag("--everywhere", explained.everywhere, "All upstreams do so, not the first alone");
    explain_command->footer("\nThe admin token, where one is needed, is that of the file, or EVENKEEL_ADMIN_TOKEN.\n");
    explain_command->callback([&] { exit_code = explain(explained); });

    simulate_choice simulated;
    auto* simulate_command = app.add_subcommand(
        "simulate", "What policies make of a troubled provider, or of a recorded day, in virtual time");
    simulate_command->add_option("-c,--config", simulated.config,
                                 "Configuration file (YAML); without it: direct, classic and tuned side by side");
    simulate_command->add_option("--route", simulated.route,
                                 "Route of that file; default: the first that calls an upstream");
    simulate_command->add_option("--model", simulated.model, "Model of traffic and trouble, or all, or quiet");
    simulate_command->add_option("--trace", simulated.trace, "Access log of evenkeel to be replayed instead");
    simulate_command->add_option("--demonstrate", simulated.demonstrate,
                                 "Instead of a comparison: one of the six demonstrations, or all");
    simulate_command->add_option("--seed", simulated.seeds, "Seeds, like 1,2,3; figures are medians over them")
        ->capture_default_str();
    simulate_command
        ->add_option("--requests", simulated.requests, "How many, instead of the model's own or all of the log")
        ->check(CLI::Range(1, 5'000'000));
    simulate_command
        ->add_option("--rate", simulated.rate, "Requests per second, instead of the model's own or the log's")
        ->check(CLI::Range(0.001, 1000.0));
    simulate_command->add_option("--format", format, "text or json")->check(CLI::IsMember({"text", "json"}));
    simulate_command->add_option("--plot", simulated.plot,
                                 "SVG file for success, times and attempts, a line per policy, of the first seed");
    simulate_command->footer(simulate_footer());
    simulate_command->callback([&] {
        simulated.json = format == "json";
        exit_code = simulate(simulated);
    });

    std::string shell;
    auto* completion_command = app.add_subcommand(
        "completion", "Print what makes a shell complete commands and options, for its start-up file");
    completion_command->add_option("SHELL", shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    completion_command->callback([&] { std::cout << completion_script(app, shell); });
    // For who makes the manual page; hidden.
    app.add_subcommand("manual", "The commands, for scdoc")->group("")->callback([&] {
        std::cout << manual_of_commands(app);
    });

    app.add_subcommand("version", "Version, compiler and libraries")->callback([&] { exit_code = version(); });

    // A client or an upstream that goes away is an error code of a write, never a signal.
    std::signal(SIGPIPE, SIG_IGN);
    if (::getpid() == 1) be_first_process();
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    if (arguments.empty()) return overview();
    if (const std::string wrong = mistyped(app, arguments); !wrong.empty()) {
        std::fprintf(stderr,
                     "evenkeel: %s\n`evenkeel` alone lists the commands, `evenkeel COMMAND --help` what one takes.\n",
                     wrong.c_str());
        return 2;
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::RequiredError& error) {
        // The library knows FILE by its longer name only.
        if (std::string_view{error.what()} != "--config is required") return app.exit(error) == 0 ? 0 : 2;
        std::fputs("evenkeel: say which configuration file: FILE, or -c FILE\n", stderr);
        return 2;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "evenkeel: %s\n", error.what());
        return 1;
    }
    if (std::cout.flush()) return exit_code;
    pollfd out{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
    if (::poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0) return exit_code; // who reads no further has enough
    std::fputs("evenkeel: what was to be told could not be written\n", stderr);
    return exit_code != 0 ? exit_code : 1;
}
