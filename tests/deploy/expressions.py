"""What a PromQL expression asks for, held against what the program has: `evenkeel metrics` prints every metric with its
labels and their words. promtool knows whether an expression is PromQL; only we know whether it finds anything."""

import re
import subprocess
import sys

# Of Prometheus itself; and what every scraped series gets.
OWN = {"up": ("gauge", {}),
       "ALERTS": ("gauge", {"alertname": None, "alertstate": {"pending", "firing"}, "severity": None})}
SCRAPED = ("job", "instance")

TOKEN = re.compile(r"""\s+|\#[^\n]*|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<number>\d[\w.]*)
                      |(?P<name>[A-Za-z_:][\w:]*)|(?P<mark>=~|!~|!=|==|>=|<=|.)""", re.VERBOSE | re.DOTALL)
LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
OF_COUNTERS = {"rate", "irate", "increase"}


def need(promtool):
    if promtool.endswith("NOTFOUND"):
        print("skipped: promtool is missing (deploy/install_packages test)")
        sys.exit(0)


def known_metrics(program):
    """Name -> (type, {label: its words, or None where they are no closed list})."""
    table = subprocess.run([program, "metrics"], capture_output=True, text=True, check=True, timeout=60).stdout
    known = dict(OWN)
    for line in table.splitlines()[2:]:
        name, kind, labels = [cell.strip() for cell in line.strip("| ").split(" | ")][:3]
        name = name.strip("`")
        if not name.startswith("process_"):
            name = "evenkeel_" + name
        has = {}
        for label, words in re.findall(r"`(\w+)`(?: \(([^)]*)\))?", labels):
            has[label] = set(re.findall(r"`([^`]*)`", words)) or None
        if kind == "histogram":
            known[name + "_bucket"] = (kind, {**has, "le": None})
            known[name + "_sum"] = known[name + "_count"] = (kind, has)
        else:
            known[name] = (kind, has)
    if len(known) < 50:
        raise RuntimeError(f"{program} metrics printed no table of metrics")
    return known


def tokens(text):
    return [(match.lastgroup, match.group()) for match in TOKEN.finditer(text) if match.lastgroup]


class Expression:
    """`problems`: what it asks for and nobody has. `recorded`: names of recording rules that may be read."""

    def __init__(self, text, known, recorded=()):
        self.known, self.recorded = known, set(recorded)
        self.metrics, self.problems = [], []
        self.rest = tokens(text)
        grouped = []
        function = None
        while self.rest:
            kind, token = self.rest.pop(0)
            if kind != "name" or token.lower() in WORDS:
                if token != "(":
                    function = None
            elif token.lower() in LISTS:
                if self.next() == "(":
                    grouped += [word for sort, word in self.until(")") if sort == "name"]
            elif self.next() == "(" or self.next() in LISTS:
                function = token
            else:
                self.selector(token, function)
        self.check_grouped(grouped)

    def next(self):
        return self.rest[0][1] if self.rest else ""

    def until(self, end):
        taken = []
        while self.rest:
            taken.append(self.rest.pop(0))
            if taken[-1][1] == end:
                return taken
        self.problems.append(f"'{end}' is missing")
        return taken

    def selector(self, name, function):
        matchers = self.until("}") if self.next() == "{" else []
        self.metrics.append(name)
        if ":" in name:
            if name not in self.recorded:
                self.problems.append(f"no rule records {name}")
            return
        if name not in self.known:
            self.problems.append(f"there is no metric {name}")
            return
        kind, labels = self.known[name]
        if function in OF_COUNTERS and kind == "gauge":
            self.problems.append(f"{function}() of {name}, a gauge")
        for (sort, label), (_, how), (_, value) in zip(matchers, matchers[1:], matchers[2:]):
            if sort == "name":
                self.check_matcher(name, labels, label, how, value[1:-1])

    def check_matcher(self, name, labels, label, how, value):
        if label in SCRAPED:
            return
        if label not in labels:
            self.problems.append(f"{name} has no label {label}")
            return
        words = labels[label]
        if words is None or "$" in value:
            return
        for word in value.split("|") if how in ("=~", "!~") else [value]:
            if word not in words:
                self.problems.append(f"{label} of {name} is never '{word}'")

    def check_grouped(self, labels):
        if any(":" in name for name in self.metrics):
            return
        there = set(SCRAPED).union(*(self.known[name][1] for name in self.metrics if name in self.known))
        for label in labels:
            if label not in there:
                self.problems.append(f"no metric of it has a label {label}")
