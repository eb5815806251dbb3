"""Loops of machine code, and what one turn of each does at least.

A loop is a backward branch; a turn is the shortest way from its head to that branch (that passes its products, where those
are asked for), so that what a turn is said to take is never more than what it takes."""
import heapq
import re

ENDS = ("EXIT", "RET", "BRA", "BRX", "JMP")


class Path:
    """One turn: its instructions' mnemonics."""

    def __init__(self, mnemonics):
        self.mnemonics = mnemonics
        self.instructions = len(mnemonics)

    def moved(self, words, width):
        return sum(width(m) for m in self.mnemonics if m.split(".")[0] in words)

    def count(self, pattern):
        return sum(1 for m in self.mnemonics if pattern.match(m.split(".")[0]))


def target_of(mnemonic, operands):
    if not mnemonic.startswith("BRA"):
        return None
    found = re.search(r"0x([0-9a-f]+)", operands)
    return int(found.group(1), 16) if found else None


def shortest(code, head, tail):
    """Indices of the shortest way from instruction `head` to `tail`, branches forward within included."""
    places = {address: index for index, (address, _, _) in enumerate(code)}
    best, before, queue = {head: 0}, {}, [(0, head)]
    while queue:
        steps, at = heapq.heappop(queue)
        if at == tail:
            way = [at]
            while way[-1] != head:
                way.append(before[way[-1]])
            return way[::-1]
        if steps > best[at]:
            continue
        _, mnemonic, operands = code[at]
        onward = [at + 1]
        target = places.get(target_of(mnemonic, operands))
        if target is not None:
            onward.append(target)  # whether a branch has a predicate is not looked at: both ways are tried
        for place in onward:
            if head <= place <= tail and steps + 1 < best.get(place, 1 << 60):
                best[place], before[place] = steps + 1, at
                heapq.heappush(queue, (steps + 1, place))
    return []


def regions_of(code):
    """(head, tail) of every loop."""
    places = {address: index for index, (address, _, _) in enumerate(code)}
    regions = []
    for index, (_, mnemonic, operands) in enumerate(code):
        target = places.get(target_of(mnemonic, operands))
        if target is not None and target < index:
            regions.append((target, index))
    return regions


def through(code, pattern):
    """A turn of the smallest loop that has all instructions of a kind, by the shortest way that passes each of them: as they
    lie, which is the order that they are done in. None where there is no such loop."""
    wanted = [index for index, (_, mnemonic, _) in enumerate(code) if pattern.match(mnemonic.split(".")[0])]
    around = [(a, b) for a, b in regions_of(code) if wanted and a <= wanted[0] and wanted[-1] <= b]
    if not around:
        return None
    head, tail = min(around, key=lambda region: region[1] - region[0])
    stops, way = [head, *wanted, tail], [head]
    for start, end in zip(stops, stops[1:]):
        part = shortest(code, start, end) if start != end else [start]
        if not part:
            return None
        way += part[1:]
    return Path([code[i][1] for i in way])


def straight(code, moves_wide):
    """The shortest way through a kernel that passes all it moves 16 bytes at a time, for one that has no loop to do it in."""
    stops = [0] + [index for index, (_, mnemonic, _) in enumerate(code) if moves_wide(mnemonic)]
    way = [0]
    for start, end in zip(stops, stops[1:]):
        part = shortest(code, start, end) if start != end else [start]
        way += part[1:]  # the other way of a branch that was taken is left out
    return Path([code[i][1] for i in way]) if len(stops) > 1 else None


def innermost(code):
    regions = regions_of(code)
    inner = [(a, b) for a, b in regions if not any((c, d) != (a, b) and a <= c and d <= b for c, d in regions)]
    ways = (shortest(code, a, b) for a, b in inner)
    return [Path([code[i][1] for i in way]) for way in ways if way]
