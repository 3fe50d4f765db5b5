"""The rows of the table. `row` registers one: `before` is what was seen when the trouble was written down."""

ROWS = {}


class Row:
    def __init__(self, name, says, before, play, limit, quick, alone):
        self.name, self.says, self.before, self.play = name, says, before, play
        self.limit = limit  # seconds
        self.quick = quick  # over in a few seconds: part of every run of the tests
        self.alone = alone  # measures latency or makes load: one of these at a time


def row(name, says, before, limit=60, quick=True, alone=False):
    def register(play):
        ROWS[name] = Row(name, says, before, play, limit, quick, alone)
        return play
    return register
