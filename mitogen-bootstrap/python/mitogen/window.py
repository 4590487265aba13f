"""How much of files may be on its way over a link."""
from mitogen.broker import clock

CHUNK = 131072 - 26
# The cost of a hole, which has no bytes.
HOLE_COST = 4096
# What a window is at first, at least and at most.
NUMBERS = 1 << 20, 262144, 8 << 20


class Window(object):
    """How much may be on its way: twice what the link holds, by the acknowledgements; see the crate mitogen-fileservice."""

    def __init__(self, fixed=None):
        self.fixed = fixed
        self.size = fixed or NUMBERS[0]
        self.in_flight = 0
        self.sent = self.delivered = self.round_end = 0
        self.flights = []
        self.rates = [0.] * 10
        self.shortest = None
        self.probing = False
        self.probed = 0

    def is_open(self):
        if self.probing:
            return not self.in_flight
        return self.in_flight < self.size

    def handle_sent(self, count):
        now = clock()
        if not self.in_flight:
            self.probed = now
            if self.probing:
                self.probing = False
                self.shortest = None
        self.sent += count
        self.in_flight += count
        self.flights.append((self.sent, now, self.delivered, self.in_flight + CHUNK > self.size))

    def handle_acked(self, count):
        """Says whether that many were on their way."""
        if count > self.in_flight:
            return False
        self.in_flight -= count
        self.delivered += count
        now = clock()
        while self.flights and self.flights[0][0] <= self.delivered:
            _, at, delivered, full = self.flights.pop(0)
            seconds = max(1e-6, now - at)
            rate = (self.delivered - delivered) / seconds
            if full or rate > max(self.rates):
                self.rates[0] = max(self.rates[0], rate)
            if self.shortest is None or seconds < self.shortest:
                self.shortest = seconds
        if self.delivered >= self.round_end and self.shortest is not None and not self.fixed:
            self.round_end = self.sent
            if now - self.probed > 10:
                self.probing = True
            aim = int(2 * max(self.rates) * self.shortest)
            self.rates = [0.] + self.rates[:-1]
            aim = max(self.size - self.size // 8, min(aim, self.size * 2))
            self.size = max(NUMBERS[1], min(aim, NUMBERS[2]))
        return True
